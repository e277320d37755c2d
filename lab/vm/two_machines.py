"""What a farm and a mirror of two virtual machines have in common."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from lab.topology import LAN
from lab.vm.guest import Guest
from lab.vm.network import VirtualLab

HEALTH_PORT = 5480


class TwoMachines:
    """Both of them, and what can be asked of the unit that they run."""

    def __init__(self, lab: VirtualLab, unit: str, say: Callable[[str], None]) -> None:
        """unit: farmd@NAME or mirrord@NAME. say: takes a sentence for each scene."""
        self.lab = lab
        self.unit = unit
        self.say = say

    @property
    def n1(self) -> Guest:
        return self.lab.guests["n1"]

    @property
    def n2(self) -> Guest:
        return self.lab.guests["n2"]

    @property
    def both(self) -> Sequence[Guest]:
        return self.n1, self.n2

    def copy_to_n2(self, *paths: str) -> None:
        """Files of n1 that only root may read there."""
        for path in paths:
            text = self.n1.shell(f"cat {path}")
            self.n2.run("sh", "-ec", f"umask 077; cat > {path}", input=text + "\n")

    def status(self, guest: Guest) -> dict[str, Any]:
        """What farmctl says there; empty if it does not answer."""
        done = guest.run("farmctl", "status", "--json", check=False)
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            return {}
        return answer if isinstance(answer, dict) and answer.get("ok") else {}

    def version(self, guest: Guest) -> str:
        """What runs there; empty if nothing answers."""
        return str(self.status(guest).get("version", ""))

    def pid(self, guest: Guest) -> str:
        """The unit's first process, as systemd knows it; "0": there is none."""
        return guest.shell(f"systemctl show {self.unit} -P MainPID")

    def shown(self) -> dict[str, str]:
        """What systemd on n1 says of the unit."""
        names = ("Type", "ActiveState", "SubState", "WatchdogUSec", "NRestarts")
        lines = self.n1.shell(f"systemctl show {self.unit} -p {','.join(names)}").splitlines()
        return dict(line.split("=", 1) for line in lines)

    def page(self, guest: Guest, path: str) -> int:
        """The status code of a health page, as a load balancer gets it."""
        where = f"http://{self.lab.topology.node_addresses(guest.name)[0]}:{HEALTH_PORT}{path}"
        return int(self.lab.exec(LAN, "curl", "-sSo/dev/null", "-w%{http_code}", "--max-time", "10", where).stdout)
