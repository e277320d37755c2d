"""What is tried on the machines, in order, each scene seen from outside by real clients."""

from __future__ import annotations

import contextlib
import functools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from lab import measure
from lab.topology import LAN, SWITCH, VIPS
from lab.vm.guest import Guest
from lab.vm.image import NEXT_VERSION
from lab.vm.network import VirtualLab
from lab.vm.two_machines import TwoMachines
from lab.waiting import until

CLIENTS = 32
INTERVAL_MS = 400.0
"""80 requests a second in all: emulated processors are slow."""
CALM_S = 10.0
FLOODING_S = 3.0
AFTERWARDS_S = 3.0
"""How long the clients go on after a scene: what TCP repeats belongs to the scene."""
PATIENT = {"timeout_ms": 8000.0, "answer_ms": 8000.0}
"""For planned scenes: time for the retries of TCP, at 1, 3 and 7 seconds."""
BRISK = {"timeout_ms": 900.0, "answer_ms": 8000.0}
"""While all is well."""
IMPATIENT = {"timeout_ms": 400.0, "answer_ms": 400.0}
"""For failures: clients that see the outage and not TCP's retries."""
FARM_S = 120.0
"""For the farm to be whole again after a scene, in software emulation."""
LOOK_S = 1.0
"""Between two looks at the farm: each of them loads a Python program in there, which is work for a second."""
GAP_MS_MAX = 2500.0
"""A takeover that clients saw for longer is misbehaviour; about 400 ms on real processors."""


@dataclass
class Outcome:
    """What was measured; the fields of `--json`."""

    share: dict[str, float] = field(default_factory=dict)
    """For each node its part of the answers while all was well."""
    requests: int = 0
    calm_failed: int = 0
    failures: list[dict[str, int]] = field(default_factory=list)
    """Why requests failed, for each scene in which some did, those included in which they may."""
    duplicate_answers: int = 0
    duplicates: list[Any] = field(default_factory=list)
    """Some of them, as lab/duplicates.py saw them."""
    others_frames: dict[str, int] = field(default_factory=dict)
    """What n2's filter dropped for n1 (drop_other) within some seconds, with and without a switch that floods."""
    xdp: dict[str, str] = field(default_factory=dict)
    """Where each node's filter decides."""
    unit: dict[str, str] = field(default_factory=dict)
    """What systemd says of farmd@web."""
    frozen_gap_ms: float = 0.0
    frozen_back_s: float = 0.0
    """From the freeze until the watchdog's restart has brought the node back into the farm."""
    reboot_failed: int = 0
    reboot_back_s: float = 0.0
    power_off_gap_ms: float = 0.0
    upgrade_failed: int = 0
    upgrade_requests: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    """What each node runs after the upgrade."""
    health: dict[str, int] = field(default_factory=dict)
    """The health page's answer while serving, draining, and serving again."""

    def faults(self) -> list[str]:
        """What is wrong with it, in sentences."""
        rules = [
            (len(self.share) < 2 or min(self.share.values()) < 0.3, f"the shares are uneven: {self.share}"),
            (self.calm_failed > 0, f"{self.calm_failed} requests failed while all was well"),
            (self.duplicate_answers > 0, f"{self.duplicate_answers} questions were answered twice"),
            (
                self.others_frames["flooding"] <= 10 * self.others_frames["not flooding"],
                f"drop_other does not tell whether the switch floods: {self.others_frames}",
            ),
            (self.unit.get("Type") != "notify" or self.unit.get("ActiveState") != "active", f"the unit is {self.unit}"),
            (self.frozen_gap_ms > GAP_MS_MAX, f"a frozen farmd was a gap of {self.frozen_gap_ms:.0f} ms"),
            (self.reboot_failed > 0, f"{self.reboot_failed} requests failed while a node was rebooted"),
            (self.power_off_gap_ms > GAP_MS_MAX, f"the takeover took {self.power_off_gap_ms:.0f} ms"),
            (self.upgrade_failed > 0, f"{self.upgrade_failed} requests failed during the upgrade"),
            (set(self.versions.values()) != {NEXT_VERSION}, f"after the upgrade the nodes run {self.versions}"),
            (tuple(self.health.values()) != (200, 503, 200), f"the health page answered {self.health}"),
        ]
        return [sentence for wrong, sentence in rules if wrong]


class Scenes(TwoMachines):
    """A farm of two machines, from empty ones to an upgrade."""

    def __init__(self, lab: VirtualLab, say: Callable[[str], None]) -> None:
        super().__init__(lab, "farmd@web", say)
        self.outcome = Outcome()

    def run(self) -> Outcome:
        self._first_steps()
        self._calm()
        self._flooding()
        self._unit()
        self._frozen()
        self._reboot()
        self._power_off()
        self._upgrade()
        self._health()
        return self.outcome

    # -- scenes --------------------------------------------------------------------------------------------------------

    def _first_steps(self) -> None:
        """As README says, on machines with the packages and the virtual environment and nothing else."""
        nodes = [f"--node={name}=10.0.0.{number}" for number, name in enumerate(self.lab.guests, start=1)]
        vips = [f"--vip={vip}" for vip in VIPS]
        for guest in self.both:
            guest.run("/opt/farmd/bin/farmctl", "setup")
        self.n1.run("farmctl", "init", *vips, *nodes, "--service=unit=nginx.service", "--check=http=http://127.0.0.1/")
        self.copy_to_n2("/etc/farmd/web.toml", "/etc/farmd/web.key")
        for guest in self.both:
            guest.run("farmctl", "check-config", "--here", "/etc/farmd/web.toml")
            guest.run("systemctl", "enable", "--quiet", "--now", "farmd@web", "farm-health")
        self._wait_whole()
        self.outcome.xdp = {name: self.status(guest)["xdp"] for name, guest in self.lab.guests.items()}
        modes = ", ".join(f"{name} {mode}" for name, mode in self.outcome.xdp.items())
        self.say(f"1. setup, init, check-config, enable: a farm of two machines. XDP on virtio: {modes}.")

    def _calm(self) -> None:
        with self._clients(BRISK) as seen:
            time.sleep(CALM_S)
        result = seen.result()
        self._count(result)
        answers = Counter(result["nodes"])
        self.outcome.calm_failed = result["failed"]
        self.outcome.share = {name: round(answers[name] / max(1, answers.total()), 3) for name in self.lab.guests}
        each = ", ".join(f"{name} {share:.0%}" for name, share in self.outcome.share.items())
        self.say(f"2. {answers.total()} requests to {VIPS[0]}: {each}; {result['failed']} failed.")

    def _flooding(self) -> None:
        for floods, word in ((False, "off"), (True, "on")):
            self.lab.exec(SWITCH, "bridge", "link", "set", "dev", "n2", "flood", word)
            with self._clients(IMPATIENT):
                before = self._dropped_for_others()
                time.sleep(FLOODING_S)
                grown = self._dropped_for_others() - before
            self.outcome.others_frames["flooding" if floods else "not flooding"] = grown
        told = ", ".join(f"{count} {when}" for when, count in self.outcome.others_frames.items())
        self.say(f"3. drop_other on n2 grew by, its switch port {told}.")

    def _unit(self) -> None:
        self.outcome.unit = self.shown()
        self.say(f"4. farmd@web is {', '.join(f'{name}={value}' for name, value in self.outcome.unit.items())}.")

    def _frozen(self) -> None:
        before = self.pid(self.n1)
        start = time.monotonic()
        with self._clients(IMPATIENT) as seen:
            self.n1.run("kill", "-STOP", before)
            time.sleep(AFTERWARDS_S)
            until(lambda: self._alone(self.n2), "n2 to serve alone", FARM_S, LOOK_S)
        until(lambda: self.pid(self.n1) not in (before, "0"), "the watchdog to restart farmd", FARM_S, LOOK_S)
        self._wait_whole()
        self.outcome.frozen_back_s = round(time.monotonic() - start, 1)
        self._count(seen.result())
        gap_ms = self.outcome.frozen_gap_ms = round(seen.result()["gap_ms"], 1)
        self.say(f"5. farmd on n1 frozen (SIGSTOP): n2 has its clients, the longest wait was {gap_ms:.0f} ms; "
                 f"the watchdog killed it, and n1 was back after {self.outcome.frozen_back_s:.0f} s.")  # fmt: skip

    def _reboot(self) -> None:
        with self._clients(PATIENT) as seen:
            start = time.monotonic()
            self.n2.reboot()
            self._wait_whole()
            self.outcome.reboot_back_s = round(time.monotonic() - start, 1)
            time.sleep(AFTERWARDS_S)
        result = seen.result()
        self._count(result)
        self.outcome.reboot_failed = result["failed"]
        self.say(f"6. n2 rebooted and came back by itself after {self.outcome.reboot_back_s:.0f} s: of "
                 f"{result['requests']} requests {result['failed']} failed.")  # fmt: skip

    def _power_off(self) -> None:
        with self._clients(IMPATIENT) as seen:
            self.n2.power_off()
            time.sleep(AFTERWARDS_S)
            until(lambda: self._alone(self.n1), "n1 to serve alone", FARM_S, LOOK_S)
        self._count(seen.result())
        self.outcome.power_off_gap_ms = round(seen.result()["gap_ms"], 1)
        self.say(f"7. n2's power cut: the longest wait of a client was {self.outcome.power_off_gap_ms:.0f} ms.")
        self.n2.power_on()
        self._wait_whole()

    def _upgrade(self) -> None:
        wheels = "--no-index --find-links /root/wheels/now --upgrade /root/wheels/next/*.whl"
        with self._clients(PATIENT) as seen:
            for name, guest in self.lab.guests.items():
                guest.shell(f"/opt/farmd/bin/pip install --quiet {wheels} && systemctl reload farmd@web")
                until(functools.partial(self._runs_next, guest), f"{name} to run {NEXT_VERSION}", FARM_S, LOOK_S)
                self._wait_whole()
            time.sleep(AFTERWARDS_S)
        result = seen.result()
        self._count(result)
        self.outcome.upgrade_requests, self.outcome.upgrade_failed = result["requests"], result["failed"]
        self.outcome.versions = {name: self.version(guest) for name, guest in self.lab.guests.items()}
        self.say(f"8. Both upgraded to {NEXT_VERSION} and reloaded, one after the other: of {result['requests']} "
                 f"requests {result['failed']} failed.")  # fmt: skip

    def _health(self) -> None:
        self.outcome.health["serving"] = self.page(self.n1, "/ready")
        self.n1.run("farmctl", "drain", "n1", "--timeout", "60")
        self.outcome.health["draining"] = self.page(self.n1, "/ready")
        self.n1.run("farmctl", "undrain", "n1", "--timeout", "60")
        self._wait_whole()
        self.outcome.health["again"] = self.page(self.n1, "/ready")
        told = ", ".join(f"{when} {code}" for when, code in self.outcome.health.items())
        self.say(f"9. The health page of n1: {told}.")

    # -- looking -------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _clients(self, patience: dict[str, float]) -> Iterator[measure.Measurement]:
        """With a watch for duplicate answers where no client lets TCP repeat a SYN: between the two its bucket may have
        moved, and both nodes answer rightly.
        """
        with (
            measure.duplicates(self.lab) as watch,
            measure.requests(
                self.lab, LAN, str(VIPS[0]), count=CLIENTS, seconds=900.0, interval_ms=INTERVAL_MS, **patience
            ) as clients,
        ):
            yield clients
        if patience is not PATIENT:
            self.outcome.duplicate_answers += watch.result()["duplicates"]
            self.outcome.duplicates += watch.result()["examples"]

    def _count(self, result: dict[str, Any]) -> None:
        self.outcome.requests += result["requests"]
        failures = Counter(failure[2] for client in result["per_client"].values() for failure in client["failures"])
        if failures:
            self.outcome.failures.append(dict(failures))

    def _members(self, guest: Guest) -> set[str]:
        """Who owns buckets, as this node sees it; empty while the farm does not agree."""
        status = self.status(guest)
        if not status or not status["converged"]:
            return set()
        return {member["name"] for member in status["members"] if member["buckets"]}

    def _wait_whole(self) -> None:
        """Until every node says that every node serves."""
        everybody = set(self.lab.guests)
        for name, guest in self.lab.guests.items():
            until(functools.partial(self._served_by, guest, everybody), f"{name} to see all serve", FARM_S, LOOK_S)

    def _served_by(self, guest: Guest, names: set[str]) -> bool:
        return self._members(guest) == names

    def _alone(self, guest: Guest) -> bool:
        return self._served_by(guest, {guest.name})

    def _dropped_for_others(self) -> int:
        return int(self.status(self.n2)["counters"].get("drop_other", 0))

    def _runs_next(self, guest: Guest) -> bool:
        return self.version(guest) == NEXT_VERSION
