"""A farm's daemon as far as the filter sees it, for tests that kill it: holds a slot and says so, until it is told to
end (by the end of its input) or is killed.

    python -m tests.datapath.holder INTERFACE FARM MODE VIP
"""

from __future__ import annotations

import sys
import time
from ipaddress import ip_address

from bpf import layout
from farmd.datapath import Datapath
from farmd.errors import MachineError
from farmd.kit.lock import hold_farm_lock
from tests.datapath.packets import NODE_MAC, VMAC


def main() -> int:
    interface, farm, mode, vip = sys.argv[1:]
    try:
        lock = hold_farm_lock(farm)
        datapath = Datapath.open(interface, farm, mode)
        datapath.configure([ip_address(vip)], (), VMAC, NODE_MAC)
    except MachineError as error:
        print("refused:", error, flush=True)
        return 1
    datapath.set_hash_key(bytes(range(16)))
    datapath.install(bytes([layout.enum("bucket_state")["OWNED"]] * layout.number("BUCKETS")))
    datapath.renew(time.monotonic_ns() + 200_000_000)
    print(datapath.mode, flush=True)
    sys.stdin.read()
    datapath.close()
    lock.release()
    return 0


if __name__ == "__main__":
    sys.exit(main())
