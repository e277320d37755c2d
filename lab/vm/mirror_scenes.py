"""What is tried on two machines that are a mirror with a PostgreSQL, in order; clients transfer money all the time."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from lab import mirror_bank
from lab.errors import LabError
from lab.mirror_bank import TABLES, Bank
from lab.topology import ROUTER_LAN
from lab.vm.guest import Guest
from lab.vm.image import NEXT_VERSION
from lab.vm.network import VirtualLab
from lab.vm.two_machines import TwoMachines
from lab.waiting import until

DATA = "/var/lib/postgresql/15/main"
SETTINGS = "/etc/postgresql/15/main"
PROGRAMS = "/usr/lib/postgresql/15/bin"
VIP = "10.0.0.200"
CLIENTS = 2
CALM_S = 10.0
"""The interval in which a rate is measured."""
ANSWER_WITHIN_S = 4.0
"""A client's patience with a transfer, on emulated processors."""
SETTLED_S = 600.0
"""For the mirror to be a pair again after a scene, in software emulation."""
LOOK_S = 1.0
PATIENCE = f"""
mkdir -p /etc/systemd/system/mirrord@.service.d
printf '[Service]\\nTimeoutStartSec={SETTLED_S:g}\\nTimeoutStopSec={SETTLED_S:g}\\n' \\
    > /etc/systemd/system/mirrord@.service.d/emulated.conf
systemctl daemon-reload
"""
"""What README does not say: on a busy host an emulated processor takes minutes to load the programs."""
CHECK_PATIENCE = r"interval_s = 5\ntimeout_s = 10\n"
"""For the check, the last table of what `init` writes. An emulated processor takes more than a second for pg_isready,
which is all that a check has by default: it would fail, and the application be given to the other node."""
GAP_S_MAX = 60.0
"""A change of roles that clients saw for longer is misbehaviour, however slow the processors."""
RATE_MB_S = 900.0
"""Of a resync, in a configuration that is changed while mirrord runs: as good as no limit."""


@dataclass
class Outcome:
    """What was measured; the fields of `--json`."""

    committed: int = 0
    lost: int = 0
    """Of the committed transfers those that the database does not have at the end."""
    gap_s: dict[str, float] = field(default_factory=dict)
    """For each scene the longest time without a committed transfer."""
    back_s: dict[str, float] = field(default_factory=dict)
    """For each scene in which a node was away: from what brought it back until the pair was in sync."""
    unit: dict[str, str] = field(default_factory=dict)
    """What systemd says of mirrord@db."""
    versions: dict[str, str] = field(default_factory=dict)
    """What each node runs after the upgrade."""
    pages: dict[str, int] = field(default_factory=dict)
    """The health page of each node at the end; n1 serves."""
    wrong: list[str] = field(default_factory=list)
    """What else was not as it should be."""

    def faults(self) -> list[str]:
        """What is wrong with it, in sentences."""
        rules = [
            (self.lost > 0, f"{self.lost} of {self.committed} committed transfers are lost"),
            (self.unit.get("Type") != "notify" or self.unit.get("ActiveState") != "active", f"the unit is {self.unit}"),
            (set(self.versions.values()) != {NEXT_VERSION}, f"after the upgrade the nodes run {self.versions}"),
            (self.pages != {"n1": 200, "n2": 503}, f"the health pages answered {self.pages}"),
        ]
        slow = [f"{scene}: clients waited {gap_s:.0f} s" for scene, gap_s in self.gap_s.items() if gap_s > GAP_S_MAX]
        return [sentence for wrong, sentence in rules if wrong] + slow + self.wrong


class Scenes(TwoMachines):
    """A mirror of two machines, from empty ones to an upgrade. In each scene `bank` is the clients."""

    def __init__(self, lab: VirtualLab, say: Callable[[str], None], *, alias: bool) -> None:
        """alias: the virtual address is an ordinary one, announced by ARP."""
        super().__init__(lab, "mirrord@db", say)
        self.alias = alias
        self.outcome = Outcome()

    def run(self) -> Outcome:
        self._database()
        self._first_steps()
        with Bank(self.lab, VIP, clients=CLIENTS, answer_within_s=ANSWER_WITHIN_S) as bank:
            bank.first_after(0.0, SETTLED_S)
            self._calm(bank)
            self._power_off(bank)
            self._swap(bank)
            self._stop(bank)
            self._reboot(bank)
            self._frozen(bank)
            self._reload()
            self._upgrade(bank)
        self._count(bank)
        return self.outcome

    # -- scenes --------------------------------------------------------------------------------------------------------

    def _database(self) -> None:
        """What the administrator has before anything of README is done: a PostgreSQL with something in it on n1."""
        self.n1.shell(f"runuser -u postgres -- {PROGRAMS}/pgbench -i -q -s 1 postgres")
        self.n1.run("runuser", "-u", "postgres", "--", "psql", "-qXv", "ON_ERROR_STOP=1", "postgres", input=TABLES)
        kernel, version = self.n1.shell("uname -r"), self.n1.shell(f"{PROGRAMS}/postgres --version")
        self.say(f"1. Linux {kernel}, {version.strip()} with 100,000 accounts on n1.")

    def _first_steps(self) -> None:
        """As README says, on machines with the packages and the virtual environment and nothing else."""
        start = time.monotonic()
        self._on_both("/opt/farmd/bin/farmctl setup")
        self._on_both(PATIENCE)
        self._on_both(f"systemctl disable --quiet --now postgresql && echo manual > {SETTINGS}/start.conf")
        self._on_both(f"echo \"listen_addresses = '*'\" >> {SETTINGS}/postgresql.conf")
        self._on_both(f"echo 'host all all 10.0.0.0/16 trust' >> {SETTINGS}/pg_hba.conf")
        addresses = {name: reversed(self.lab.topology.node_addresses(name)) for name in self.lab.guests}
        nodes = [f"--node={name}={','.join(both)}" for name, both in addresses.items()]
        self.n1.run("farmctl", "init", "--mirror", "--name", "db", "--directory", DATA,
                    "--vip", VIP, "--interface", "eth0", "--witness", ROUTER_LAN[0], *nodes,
                    "--service", "unit=postgresql@15-main.service",
                    "--check", "exec=/usr/lib/postgresql/15/bin/pg_isready -q")  # fmt: skip
        self.n1.shell(f"printf '{CHECK_PATIENCE}' >> /etc/farmd/db.toml")
        if self.alias:
            self.n1.shell("sed -i 's/^# vip_mode = .*/vip_mode = \"alias\"/' /etc/farmd/db.toml")
        self.copy_to_n2("/etc/farmd/db.toml", "/etc/farmd/db.key")
        self.n2.shell(f"rm -rf {DATA}/*")
        self._on_both("farmctl check-config --here /etc/farmd/db.toml")
        told = "{ journalctl --quiet --no-pager -n 20 -u mirrord@db; exit 1; }"
        self._on_both(f"systemctl enable --quiet --now mirrord@db farm-health || {told}")
        self.n1.shell(f"farmctl promote && farmctl wait insync --within {SETTLED_S:g}")
        self._wait_pair(self.n1)
        self.outcome.unit = self.shown()
        unit = ", ".join(f"{name}={value}" for name, value in self.outcome.unit.items())
        self.say(f"2. setup, init, check-config, enable, promote: in sync {time.monotonic() - start:.0f} s after the "
                 f"first command. mirrord@db is {unit}.")  # fmt: skip

    def _calm(self, bank: Bank) -> None:
        before = len(bank.committed)
        time.sleep(CALM_S)
        rate = (len(bank.committed) - before) / CALM_S
        self.say(f"3. {CLIENTS} clients transfer money through {VIP}: {rate:.1f} transfers a second.")

    def _power_off(self, bank: Bank) -> None:
        gap_s = self._watched(bank, "power off", self.n1.power_off, self.n2)
        self._check_lost(bank, "the power-off")
        back_s = self._back("power off", self.n1.power_on, self.n2)
        self.say(f"4. n1's power cut: n2 serves, the clients waited {gap_s:.1f} s, and none of {len(bank.committed)} "
                 f"committed transfers is missing; switched on, n1 was in sync after {back_s:.0f} s.")  # fmt: skip

    def _swap(self, bank: Bank) -> None:
        swap = functools.partial(self.n2.run, "farmctl", "swap")
        gap_s = self._watched(bank, "swap", swap, self.n1)
        self._wait_pair(self.n1)
        self.say(f"5. farmctl swap: n1 serves, the clients waited {gap_s:.1f} s.")

    def _stop(self, bank: Bank) -> None:
        stop = functools.partial(self.n1.run, "systemctl", "stop", "mirrord@db")
        gap_s = self._watched(bank, "stop", stop, self.n2)
        left = self.n1.shell(f"findmnt -rno TARGET {DATA} || true; pgrep -u postgres || true")
        if left:
            self.outcome.wrong.append(f"after systemctl stop there is left: {left}")
        start = functools.partial(self.n1.run, "systemctl", "start", "mirrord@db")
        back_s = self._back("stop", start, self.n2)
        self.say(f"6. systemctl stop mirrord@db on n1: n2 serves, the clients waited {gap_s:.1f} s; started again, n1 "
                 f"was in sync after {back_s:.0f} s.")  # fmt: skip

    def _reboot(self, bank: Bank) -> None:
        start = time.monotonic()
        gap_s = self._watched(bank, "reboot", self.n2.reboot, self.n1)
        self._wait_pair(self.n1)
        back_s = self.outcome.back_s["reboot"] = round(time.monotonic() - start, 1)
        self.say(f"7. n2 rebooted while it served: n1 serves, the clients waited {gap_s:.1f} s; n2 came back by itself "
                 f"and was in sync after {back_s:.0f} s.")  # fmt: skip

    def _frozen(self, bank: Bank) -> None:
        before = self.pid(self.n1)
        start = time.monotonic()
        freeze = functools.partial(self.n1.run, "kill", "-STOP", before)
        gap_s = self._watched(bank, "frozen", freeze, self.n2)
        until(lambda: self.pid(self.n1) not in (before, "0"), "the watchdog to restart mirrord", SETTLED_S, LOOK_S)
        self._wait_pair(self.n2)
        back_s = self.outcome.back_s["frozen"] = round(time.monotonic() - start, 1)
        self._check_lost(bank, "the freeze")
        self.say(f"8. mirrord on n1 frozen (SIGSTOP): n2 serves, the clients waited {gap_s:.1f} s; the watchdog killed "
                 f"it, and n1 was in sync after {back_s:.0f} s.")  # fmt: skip

    def _reload(self) -> None:
        self._on_both(f"sed -i '/^\\[mirror\\]$/a resync_rate_mb_s = {RATE_MB_S}' /etc/farmd/db.toml")
        self._on_both("systemctl reload mirrord@db")
        said = f"mirror.resync_rate_mb_s is {RATE_MB_S} from now on"
        for guest in self.both:
            until(functools.partial(self._tells, guest, said), f"{guest.name} to say {said!r}", SETTLED_S, LOOK_S)
        self.say(f"9. A changed configuration, systemctl reload mirrord@db: both say that {said}.")

    def _upgrade(self, bank: Bank) -> None:
        """First the node that follows; then they change places, and the other one."""
        start = time.monotonic()
        self._restart_as_next(self.n1, self.n2)
        self.n1.run("farmctl", "swap")
        self._wait_pair(self.n1)
        self._restart_as_next(self.n2, self.n1)
        gap_s = self.outcome.gap_s["upgrade"] = round(bank.longest_gap_s(start, time.monotonic()), 1)
        self.outcome.versions = {guest.name: self.version(guest) for guest in self.both}
        self.say(f"10. Both upgraded to {NEXT_VERSION}, the one that follows first, then swap, then the other: the "
                 f"clients waited {gap_s:.1f} s at most.")  # fmt: skip

    def _count(self, bank: Bank) -> None:
        self.outcome.committed = len(bank.committed)
        self.outcome.lost = len(bank.lost())
        self.outcome.wrong += mirror_bank.faults(self.lab, VIP)
        verified = self.n1.run("farmctl", "verify", check=False)
        if verified.returncode:
            self.outcome.wrong.append(f"verify: {(verified.stdout + verified.stderr).strip()}")
        self.outcome.pages = {guest.name: self.page(guest, "/mirror/db") for guest in self.both}
        self.say(f"11. {self.outcome.committed} transfers were committed, {self.outcome.lost} of them are lost; "
                 f"verify: {verified.stdout.strip()}; health pages: {self.outcome.pages}.")  # fmt: skip

    # -- doing ---------------------------------------------------------------------------------------------------------

    def _on_both(self, script: str) -> None:
        """At once, since each machine has a processor of its own."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda guest: guest.shell(script), self.both))

    def _watched(self, bank: Bank, scene: str, do: Callable[[], object], takes_over: Guest) -> float:
        """Do something at which the other node takes over; the longest wait of the clients, in seconds."""
        start = time.monotonic()
        do()
        self._wait_serving(takes_over)
        bank.first_after(time.monotonic(), SETTLED_S)
        gap_s = self.outcome.gap_s[scene] = round(bank.longest_gap_s(start, time.monotonic()), 1)
        return gap_s

    def _back(self, scene: str, do: Callable[[], object], serving: Guest) -> float:
        """Bring a node back; how long it takes until it is in sync."""
        start = time.monotonic()
        do()
        self._wait_pair(serving)
        back_s = self.outcome.back_s[scene] = round(time.monotonic() - start, 1)
        return back_s

    def _restart_as_next(self, guest: Guest, serving: Guest) -> None:
        wheels = "--no-index --find-links /root/wheels/now --upgrade /root/wheels/next/*.whl"
        install = f"/opt/farmd/bin/pip install --quiet {wheels} && systemctl restart mirrord@db"
        guest.shell(install)
        self._wait_pair(serving)

    # -- looking -------------------------------------------------------------------------------------------------------

    def _wait_serving(self, guest: Guest) -> None:
        self._wait(guest, "prim")

    def _wait_pair(self, serving: Guest) -> None:
        """Until this node serves and the other one follows in sync."""
        self._wait(serving, "prim", "insync")

    def _wait(self, guest: Guest, *states: str) -> None:
        """In there: each look from here would load a Python program, which is work for a second."""
        waits = " && ".join(f"farmctl wait {state} --within {SETTLED_S:g}" for state in states)
        try:
            guest.shell(waits, timeout_s=len(states) * SETTLED_S + LOOK_S)
        except LabError as error:
            raise LabError(f"{error}\n{guest.shell('farmctl status; farmctl events', check=False)}") from None

    def _check_lost(self, bank: Bank, what: str) -> None:
        if lost := bank.lost():
            self.outcome.wrong.append(f"after {what}, {len(lost)} committed transfers were missing")

    def _tells(self, guest: Guest, text: str) -> bool:
        return any(text in event["text"] for event in self.status(guest).get("events", ()))
