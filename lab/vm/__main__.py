"""A farm of two Debian machines under QEMU, tried from the first step to an upgrade: sudo ./lab/vm/run

Software emulation is the default, since hardware virtualisation is often not to be had inside of a virtual machine.
Exit status 1 if the farm misbehaved.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time

from rich.console import Console

from lab.errors import LabError
from lab.vm.image import cached
from lab.vm.network import VirtualFarm
from lab.vm.scenes import Scenes, as_json


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("vm", description="Try the product on two Debian machines under QEMU.")
    parser.add_argument("--name", default="vm", help="the lab's name; labs of different names run side by side")
    parser.add_argument("--accel", default="tcg,thread=multi", help="QEMU's accelerator (default: tcg; or kvm)")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    return parser.parse_args()


def main() -> int:
    """Runs all scenes; the exit status."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the machines are ended then, too
    console = Console(stderr=arguments.json)
    start = time.monotonic()

    def say(text: str) -> None:
        console.print(f"{time.monotonic() - start:6.0f} s  {text}", highlight=False, markup=False, soft_wrap=True)

    try:
        image = cached(say)
        say("Booting two machines.")
        with VirtualFarm(arguments.name, 2, image, arguments.accel) as farm:
            outcome = Scenes(farm, say).run()
    except LabError as error:
        console.print(f"vm: {error}", style="red", highlight=False, markup=False)
        return 1
    except KeyboardInterrupt:
        return 130
    faults = outcome.faults()
    for fault in faults:
        console.print(f"The farm misbehaved: {fault}.", style="bold red", highlight=False)
    say("All is as it should be." if not faults else f"{len(faults)} things are not as they should be.")
    if arguments.json:
        print(as_json(outcome))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
