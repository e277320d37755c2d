"""What a node has seen of its volume and its witness and only people ask for; no decision depends on it."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from farmd.errors import MachineError
from mirrord import orders
from mirrord.figures import Figures
from mirrord.orders import Alive, InSync, Kept, Progress, Report, Unlinked, Verified

NS = 1_000_000_000
KEPT = "diverged"
"""Where the volume keeps what differs (mirrord.volume.resync.diverged), a folder for each time."""


class Seen:
    """That of one daemon."""

    def __init__(self, folder: Path) -> None:
        """folder: the mirror's own."""
        self._folder = folder
        self.figures = Figures()
        self.witness_ns: int | None = None
        """When the witness answered last."""
        self.verified: dict[str, Any] | None = None
        """What the last Verify found, or why it ended before (`failure`), and when (Unix time, in seconds). Until
        everything was made equal."""
        self.diverged: dict[str, Any] | None = None
        """Where files of this node were kept when it had gone apart, how many, and since when (Unix time, in seconds).
        Until the folder is gone, or somebody says that they have looked.
        """
        self._kept_there: Kept | None = None
        """What the peer has told that it keeps of its own, since a resync began."""
        self._progress: Progress | None = None
        self._verifying = self._repairing = False
        self._began_ns = 0
        self._began_bytes = 0

    def order(self, order: orders.Order) -> None:
        """An order is on its way to the volume."""
        match order:
            case orders.Lead() | orders.Follow():
                self._progress = None
                self._repairing = isinstance(order, orders.Lead) and order.resync == "everything"
            case orders.Verify():
                self._progress = None
                self._verifying = True

    def take(self, report: Report) -> None:
        """The volume has said something."""
        match report:
            case Alive(figures):
                self.figures.take(figures)
            case Progress():
                if self._progress is None or report.done_bytes < self._progress.done_bytes:
                    self._began_ns, self._began_bytes = time.monotonic_ns(), report.done_bytes
                self._progress = report
            case InSync() | Unlinked():
                self._progress = None
                if self._repairing and isinstance(report, InSync):
                    self.verified = None
            case Verified():
                self._progress = None
                self._take_verified(report)
            case Kept():
                self._kept_there = report

    def kept_there(self) -> Kept | None:
        """What the peer keeps, to be told once: it is there that somebody must look."""
        kept, self._kept_there = self._kept_there, None
        return kept

    def lose(self) -> None:
        """The volume has ended."""
        self._progress = None
        self.figures.forget()
        if self._verifying:
            self._take_verified(Verified([], 0, "the volume has ended"))

    def _take_verified(self, verified: Verified) -> None:
        self._verifying = False
        self.verified = {"at": round(time.time(), 3), **asdict(verified)}

    def look_at_diverged(self) -> None:
        """Whether files that were kept are still there. Slow: it asks a disk."""
        kept = self._kept()
        if not kept:
            self.diverged = None
            return
        folder = str(kept[0] if len(kept) == 1 else kept[0].parent)
        if self.diverged is None or folder != self.diverged["folder"]:
            files = sum(len(names) for each in kept for _, _, names in os.walk(each))
            since = round(min(each.stat().st_mtime for each in kept), 3)
            self.diverged = {"folder": folder, "files": files, "since": since}

    def looked(self) -> str:
        """Somebody has looked at what was kept: it is put aside. Where it is now; MachineError if there is nothing."""
        aside = self._folder / "looked-at"
        try:
            kept = self._kept()
            aside.mkdir(mode=0o700, exist_ok=True)
            for folder in kept:
                folder.rename(aside / folder.name)
        except OSError as error:
            raise MachineError(f"{aside} cannot take what was kept: {error.strerror}") from None
        if not kept:
            raise MachineError("no files of a diverged side are kept here")
        self.diverged = None
        return str(aside)

    def _kept(self) -> list[Path]:
        try:
            return sorted((self._folder / KEPT).iterdir())
        except FileNotFoundError:
            return []

    def progress(self) -> dict[str, Any] | None:
        """How far a resync or verify is, ready for JSON; None if there is none."""
        if self._progress is None:
            return None
        passed_s = (time.monotonic_ns() - self._began_ns) / NS
        done = self._progress.done_bytes - self._began_bytes
        rate = done / passed_s if passed_s > 0 else 0.0
        left = max(0, self._progress.total_bytes - self._progress.done_bytes)
        return {
            **asdict(self._progress),
            "rate_bytes_s": round(rate),
            "left_s": round(left / rate, 1) if rate > 0 else None,
        }
