"""One farm's slot in the kernel and the same farm in the model, set up together and compared frame by frame."""

from __future__ import annotations

import contextlib
import os
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bpf import kernel, layout
from farmd.config import Rule
from farmd.datapath import Datapath
from farmd.kit.lock import hold_farm_lock
from tests.datapath import model
from tests.datapath.packets import NODE_MAC, VIP4, VIP6, VMAC

KEY = bytes(range(100, 116))
ALL_STATES = ("other", "owned", "draining", "filling")
HOUR_NS = 3600 * 10**9
TICK_NS = 20_000_000  # more than the filter's coarse clock lags behind

XDP_DROP, XDP_PASS = 1, 2
TC_UNSPEC, TC_SHOT, TC_REDIRECT = 0xFFFFFFFF, 2, 7


@dataclass(frozen=True)
class Programs:
    """The two loaded programs, and the interface that frames come in by."""

    xdp: int
    tc: int
    interface: str
    ifindex: int

    @classmethod
    def open(cls, folder: Path, interface: str, ifindex: int) -> Programs:
        xdp, tc = (kernel.object_open(folder / name) for name in ("farm_xdp", "farm_tc"))
        return cls(xdp, tc, interface, ifindex)

    def close(self) -> None:
        os.close(self.xdp)
        os.close(self.tc)

    def run_xdp(self, frame: bytes) -> kernel.Run:
        return kernel.run_once(self.xdp, frame)

    def run_tc(self, frame: bytes) -> kernel.Run:
        """As if the frame had come in by the interface: `ifindex` is the 11th word of struct __sk_buff."""
        return kernel.run_once(self.tc, frame, struct.pack("=40xI148x", self.ifindex))


class Farm:
    """A slot and its model."""

    def __init__(self, programs: Programs, datapath: Datapath, twin: model.Farm) -> None:
        self.programs, self.datapath, self.twin = programs, datapath, twin

    def install(self, states: Sequence[str]) -> None:
        numbers = layout.enum("bucket_state")
        self.datapath.install(bytes(numbers[state.upper()] for state in states))
        self.twin.states = list(states)

    def install_all(self, state: str) -> None:
        self.install([state] * model.BUCKETS)

    def lease(self, holds: bool) -> None:
        self.datapath.renew(time.monotonic_ns() + (HOUR_NS if holds else -TICK_NS))
        self.twin.lease_holds = holds

    def rules(self, *rules: Rule) -> None:
        self.datapath.configure(self.twin.vips, rules, VMAC, NODE_MAC)
        protocols = {"tcp": model.TCP, "udp": model.UDP}
        self.twin.affinities = {
            (protocols[rule.protocol], port): rule.affinity for rule in rules for port in rule.ports
        }

    def check(self, frame: bytes, beside: Sequence[Farm] = ()) -> str:
        """Run the frame through both programs; verdicts and counters of all farms must be the model's. Tells which
        outcome that was.
        """
        farms = [self, *beside]
        outcome, hit, bucket = model.outcome(frame, [farm.twin for farm in farms])
        dropped = outcome.startswith("drop_")
        with counting(farms) as counted:
            verdict = self.programs.run_xdp(frame).verdict
        expected = [{outcome: 1} if dropped and farm.twin is hit else {} for farm in farms]
        assert (verdict, counted) == (XDP_DROP if dropped else XDP_PASS, expected), f"XDP, {outcome}"
        if not tc_can_run(frame):
            assert outcome == "foreign"
            return outcome
        with counting(farms) as counted:
            verdict = self.programs.run_tc(frame).verdict
        accepted = {"bucket": bucket} if bucket is not None and outcome in ALL_STATES else {}
        expected = [{outcome: 1} | accepted if farm.twin is hit else {} for farm in farms]
        assert (verdict, counted) == (_tc_verdict(outcome), expected), f"TC, {outcome}"
        return outcome


def tc_can_run(frame: bytes) -> bool:
    """BPF_PROG_TEST_RUN makes no skb that is shorter than the IP header that its Ethernet type promises."""
    return len(frame) >= 14 + {b"\x08\x00": 20, b"\x86\xdd": 40}.get(frame[12:14], 0)


def _tc_verdict(outcome: str) -> int:
    if outcome.startswith("drop_"):
        return TC_SHOT
    return TC_REDIRECT if outcome in ("arp", "nd") else TC_UNSPEC


@contextlib.contextmanager
def counting(farms: Sequence[Farm]) -> Iterator[list[dict[str, int]]]:
    """What each farm counted meanwhile, by counter; `bucket`, if a packet was accepted, is the bucket it was in."""
    before = [(farm.datapath.counters(), farm.datapath.bucket_packets()) for farm in farms]
    counted: list[dict[str, int]] = []
    yield counted
    for farm, (counters, buckets) in zip(farms, before, strict=True):
        change = {name: now - counters[name] for name, now in farm.datapath.counters().items() if now != counters[name]}
        hit = [at for at, now in enumerate(farm.datapath.bucket_packets()) if now != buckets[at]]
        counted.append(change | ({"bucket": hit[0]} if hit else {}))
        assert len(hit) <= 1


@contextlib.contextmanager
def open_farm(
    programs: Programs,
    name: str,
    vips: Sequence[model.Address] = (VIP4, VIP6),
    key: bytes = KEY,
    flow_lives: Callable[[model.Flow], bool] = lambda flow: False,
) -> Iterator[Farm]:
    """A farm with the lease held and every bucket its own."""
    lock = hold_farm_lock(name)
    datapath = Datapath.open(programs.interface, name, "auto")
    try:
        datapath.configure(vips, (), VMAC, NODE_MAC)
        datapath.set_hash_key(key)
        farm = Farm(programs, datapath, model.Farm(vips, key, [], flow_lives=flow_lives))
        farm.install_all("owned")
        farm.lease(holds=True)
        yield farm
    finally:
        datapath.close()
        lock.release()
