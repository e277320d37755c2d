"""Writing to a mirror while it is broken in all ways, and proving afterwards what was promised."""

from __future__ import annotations

import subprocess
import sys
import threading
from signal import SIGCONT, SIGHUP
from typing import Self

from lab.errors import LabError
from lab.machine import signal_service
from lab.mirror import NODES, MirrorLab
from lab.waiting import until
from tests.posix.ledger import Ledger

DATA = "/srv/data"
QUIET_WITHIN_S = 15.0


class Recording:
    """A recorder on a node, from `with` to its end or the node's; the ledger fills while it runs."""

    def __init__(self, lab: MirrorLab, ledger: Ledger, node: str, directory: str = DATA, workers: int = 3) -> None:
        command = [sys.executable, "-m", "tests.posix.recorder", directory, "--seconds=600", f"--workers={workers}"]
        self.ledger = ledger
        self._lab = lab
        self._before = ledger.acknowledged
        self._child = lab.popen(node, *command, f"--first={ledger.last + 1}", stdout=subprocess.PIPE)
        self._reader = threading.Thread(target=self._read)

    def __enter__(self) -> Self:
        self._reader.start()
        self.wait_more(50)
        return self

    def __exit__(self, *_: object) -> None:
        self._child.terminate()
        self._child.send_signal(SIGCONT)  # nsenter stops when what it runs is stopped, and does not go on with it
        self._reader.join(timeout=QUIET_WITHIN_S)
        assert not self._reader.is_alive(), "a recorder hangs in the mirrored directory"
        self._child.wait()

    @property
    def acknowledged(self) -> int:
        """How many operations of this recording."""
        return self.ledger.acknowledged - self._before

    def wait_more(self, operations: int, timeout_s: float = 30.0) -> None:
        """Wait until so many further operations are acknowledged."""
        wanted = self.ledger.acknowledged + operations
        try:
            until(lambda: self.ledger.acknowledged >= wanted, f"{operations} acknowledged operations", timeout_s)
        except LabError as error:
            raise LabError(f"{error}; ended by {self.ledger.ended}\n{self._lab.account()}") from None

    def _read(self) -> None:
        assert self._child.stdout is not None
        while line := self._child.stdout.readline():
            self.ledger.read([line])


def missing(lab: MirrorLab, ledger: Ledger, node: str, durable: bool = False, *, directory: str = DATA) -> list[str]:
    """What a node does not have of what was promised."""
    return ledger.check(lab.path(node, directory), durable)


def differences(lab: MirrorLab, directory: str = DATA) -> str:
    """How the trees of the two nodes differ; empty if they do not."""
    one, other = (str(lab.path(node, directory)) for node in NODES)
    command = [sys.executable, "-m", "mirrord.compare", one, other]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return done.stdout + done.stderr if done.returncode else ""


def wait_equal(lab: MirrorLab, directory: str = DATA) -> None:
    """Wait until both trees are equal: times follow their changes by half a second."""
    seen = "?"

    def equal() -> bool:
        nonlocal seen
        seen = differences(lab, directory)
        return seen == ""

    try:
        until(equal, "both trees to be equal", timeout_s=10, interval_s=0.2)
    except Exception as error:
        raise AssertionError(f"{error}: {seen[:2000]}") from None


def reload(lab: MirrorLab, node: str, config: str) -> None:
    """Another configuration for a daemon that runs on."""
    lab.machine(node).write(f"/etc/farmd/{lab.first}.toml", config)
    signal_service(lab.mirrord(node), SIGHUP)


def restore(lab: MirrorLab) -> str:
    """A pair in sync, whatever was done to it; the node that serves."""
    mend(lab)
    return lab.wait_pair()


def mend(lab: MirrorLab) -> None:
    """All networks, both nodes and what should run on them, whatever was done to them; they need not agree yet."""
    lab.heal()
    for node in NODES:
        if not lab.powered(node):
            lab.boot(node)
        if lab.machine(node).service("mirrord." + lab.first) is None:
            lab.start(node)
        lab.thaw_all(node)
        lab.signal_volume(node, SIGCONT)


def other(node: str) -> str:
    """The other node."""
    return NODES[1 - NODES.index(node)]


def fill(lab: MirrorLab, node: str, leave_bytes: int) -> None:
    """Take what is free on a node's disk but so much, with /srv/filler; remove it to make room."""
    free = "$(df --output=avail -B1 /srv | tail -1)"
    script = f"fallocate -l $(({free} - {max(leave_bytes, 4 << 20)})) /srv/filler"
    lab.exec(node, "sh", "-c", script)
    if not leave_bytes:
        lab.exec(node, "sh", "-c", "cat /dev/zero >> /srv/filler", check=False)  # to the last block
