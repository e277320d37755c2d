"""What a packet costs that another node of the farm answers: our filter beside an empty program, nft and xt_cluster.

    sudo .venv/bin/python -m tests.bench.filter [--json] [--rounds N]

All four drop the same frame on the same veth interface in a private namespace, by live frames (BPF_PROG_TEST_RUN), in
alternating rounds of one run, so that the ratios hold on a machine that is not quiet. nft and xt_cluster get their
frames through an XDP program that passes everything, as they would with none; each is seen to have dropped them all.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from scapy.layers.inet import UDP

from bpf import hooks, kernel
from farmd.datapath import Datapath
from farmd.kit.lock import hold_farm_lock
from farmd.pins import Pins
from tests.datapath.constant_program import load_constant
from tests.datapath.farm import HOUR_NS, XDP_DROP, XDP_PASS
from tests.datapath.namespaces import Namespace, run
from tests.datapath.packets import NODE_MAC, VIP4, VMAC, ip4, mac, to_vip

INTERFACE, OTHER_END = "v0", "v1"
COLUMNS = {"median_ns": 12, "worst_ns": 12, "times_empty": 10, "times_farmd": 10}
FRAMES = 2_000_000  # a round
START = 20_000  # frames of a run that is timed to know what starting one costs: tens of milliseconds

NFT = """
table netdev bench {
    chain ingress {
        type filter hook ingress device "v0" priority 0;
        ip daddr 10.0.0.100 jhash ip saddr mod 1024 seed 0xfa43d0 >= 0 counter drop
    }
}
"""


@dataclass(frozen=True)
class Contender:
    """Something that drops the frame. `dropped` tells how many so far; None where nobody counts."""

    name: str
    program: int
    dropped: Callable[[], int] | None = None
    set_up: Callable[[], None] = lambda: None
    tear_down: Callable[[], None] = lambda: None


def contenders(datapath: Datapath, program: int, everything: int) -> list[Contender]:
    return [
        Contender("empty XDP_DROP", load_constant("empty", XDP_DROP)),
        Contender("farmd filter", program, lambda: datapath.counters()["drop_other"]),
        Contender("nft ingress jhash", everything, nft_dropped, nft_add, nft_remove),
        Contender("xt_cluster", everything, xt_dropped, xt_add, xt_remove),
    ]


def nft_add() -> None:
    subprocess.run(["nft", "-f", "-"], input=NFT, text=True, check=True)


def nft_remove() -> None:
    run("nft delete table netdev bench")


def nft_dropped() -> int:
    return counted(r"counter packets (\d+)", run("nft list table netdev bench"))


def xt_add() -> None:
    """In mangle, since xt_cluster asks connection tracking for the client. The mask names both nodes, so the rule
    drops the frame whichever the hash tells.
    """
    cluster = "-m cluster --cluster-total-nodes 2 --cluster-local-nodemask 3 --cluster-hash-seed 0xfa43d0"
    run(f"iptables-legacy -t mangle -A PREROUTING -i {INTERFACE} -d {VIP4} {cluster} -j DROP")


def xt_remove() -> None:
    run("iptables-legacy -t mangle -F PREROUTING")


def xt_dropped() -> int:
    return counted(r"^\s*(\d+)\s+\d+ DROP", run("iptables-legacy -t mangle -L PREROUTING -v -x -n"))


def counted(pattern: str, text: str) -> int:
    found = re.search(pattern, text, flags=re.MULTILINE)
    assert found, text
    return int(found[1])


def measure(contender: Contender, frame: bytes, ifindex: int) -> float:
    """Nanoseconds a frame, in one round, without the start of a run."""
    contender.set_up()
    try:
        start_ns = timed(contender, frame, ifindex, START)
        before = contender.dropped() if contender.dropped else 0
        took_ns = timed(contender, frame, ifindex, START + FRAMES)
        if contender.dropped is not None:
            assert contender.dropped() - before == START + FRAMES, f"{contender.name} did not drop every frame"
    finally:
        contender.tear_down()
    return (took_ns - start_ns) / FRAMES


def timed(contender: Contender, frame: bytes, ifindex: int, frames: int) -> int:
    begin = time.perf_counter_ns()
    kernel.run_live(contender.program, frame, ifindex, frames)
    return time.perf_counter_ns() - begin


@contextmanager
def private_interface() -> Iterator[tuple[Datapath, int, int]]:
    """A veth interface in a namespace, ready for frames; a slot of the filter, its XDP program, and
    one that passes everything. The filter is attached to the other end, so that its TC half spares nft the frames.
    """
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"FARMD_RUN": f"{folder}/run", "FARMD_BPFFS": f"{folder}/bpf", "FARMD_CACHE": folder}
        space = Namespace()
        with space.entered():
            run(f"ip link add {INTERFACE} address {mac(NODE_MAC)} type veth peer name {OTHER_END}")
            run(f"ip link set {INTERFACE} up")
            run(f"ip link set {OTHER_END} up")
            run(f"ip address add 10.0.0.1/24 dev {INTERFACE}")
            everything = load_constant("pass", XDP_PASS)
            hooks.xdp_attach(socket.if_nametoindex(INTERFACE), everything, hooks.XDP_NATIVE)
            lock = hold_farm_lock("bench")
            datapath = Datapath.open(OTHER_END, "bench", "off")
            program = kernel.object_open(Pins(OTHER_END).folder / "farm_xdp")
            yield datapath, program, everything
            os.close(program)
            datapath.close()
            lock.release()
        space.close()


def compete(rounds: int) -> dict[str, list[float]]:
    """Nanoseconds a frame of each contender, one figure a round."""
    frame = bytes(to_vip(ip4() / UDP(sport=4000, dport=80) / bytes(18), to=NODE_MAC))
    with private_interface() as (datapath, program, everything):
        datapath.configure([VIP4], (), VMAC, NODE_MAC)
        datapath.set_hash_key(bytes(range(16)))
        datapath.renew(time.monotonic_ns() + HOUR_NS)
        every = contenders(datapath, program, everything)
        took: dict[str, list[float]] = {contender.name: [] for contender in every}
        for _ in range(rounds):
            for contender in every:
                took[contender.name].append(measure(contender, frame, socket.if_nametoindex(INTERFACE)))
    return took


def report(took: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Median and worst in nanoseconds; ratios of a round's figures, the median of all rounds."""
    base, ours = took["empty XDP_DROP"], took["farmd filter"]
    return {
        name: {
            "median_ns": round(statistics.median(each), 1),
            "worst_ns": round(max(each), 1),
            "times_empty": round(statistics.median(a / b for a, b in zip(each, base, strict=True)), 2),
            "times_farmd": round(statistics.median(a / b for a, b in zip(each, ours, strict=True)), 2),
        }
        for name, each in took.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="What a packet costs that another node answers.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("needs root: makes a namespace and loads BPF programs")
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # one processor, so that no round pays for a move
    figures = report(compete(options.rounds))
    if options.json:
        print(json.dumps(figures))
        return
    print(f"{'a frame that is not ours':<24}{'median ns':>12}{'worst ns':>12}{'x empty':>10}{'x farmd':>10}")
    for name, row in figures.items():
        print(f"{name:<24}" + "".join(f"{row[key]:>{width}}" for key, width in COLUMNS.items()))


if __name__ == "__main__":
    main()
