"""What a lab must remember on disk: its size, the farm's configuration and key, and the logs.

All in /run/farm-lab/NAME. What runs is never recorded: /proc tells (lab/processes.py).
"""

import contextlib
import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path

from lab.errors import LabError
from lab.topology import Topology

ROOT = Path("/run/farm-lab")


class State:
    """The folder of one lab."""

    def __init__(self, name: str) -> None:
        """LabError if the name is none: 1 to 32 lower-case letters, digits and hyphens."""
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", name):
            raise LabError(f"{name!r} is no name for a lab: use up to 32 lower-case letters, digits and hyphens")
        self.name = name
        self.folder = ROOT / name
        self.config = self.folder / "web.toml"
        """farmd's configuration; copied to a node each time that farmd is started there."""
        self.key = self.folder / "web.key"
        self.machines_log = self.folder / "machines.log"

    def claim(self, topology: Topology) -> None:
        """Create the folder, which makes the name ours; LabError if it is taken."""
        try:
            self._make_folder()
        except FileExistsError:
            message = f"the lab {self.name!r} is up, or a crash left it; end it with: ./lab/lab down --name {self.name}"
            raise LabError(message) from None
        text = json.dumps(asdict(topology))
        unfinished = self.folder / "topology.json.new"
        unfinished.write_text(text + "\n")
        unfinished.rename(self.folder / "topology.json")

    def topology(self) -> Topology:
        """The size that the lab was built with; LabError if there is no such lab."""
        try:
            return Topology(**json.loads((self.folder / "topology.json").read_text()))
        except FileNotFoundError:
            message = f"there is no lab {self.name!r}; build it with: ./lab/lab up --name {self.name}"
            raise LabError(message) from None

    def log(self, node: str) -> Path:
        """What a node's services print."""
        return self.folder / f"{node}.log"

    def exists(self) -> bool:
        """Whether something of this lab is on disk."""
        return self.folder.exists()

    def remove(self) -> None:
        """Forget the lab."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # another lab is in it, or takes it away too
            ROOT.rmdir()

    def _make_folder(self) -> None:
        ROOT.mkdir(mode=0o755, exist_ok=True)
        try:
            self.folder.mkdir(mode=0o700)
        except FileNotFoundError:  # the last other lab has just gone, and ROOT with it
            self._make_folder()
