"""What the daemon says, always the newest: read by a thread, so that keys and drawing never wait for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from farmd.errors import MachineError
from farmd.kit import control

SILENCE_S = 2.0
"""A daemon that lives says so many times a second."""
RETRY_S = 0.5


def statuses(path: Path) -> Iterator[dict[str, Any]]:
    """Every status with "buckets", as the daemon pushes them; MachineError when it ends or falls silent."""
    return control.watch(path, SILENCE_S, buckets=True)


@dataclass(frozen=True, slots=True)
class News:
    """The newest status, and one sentence if it is old because the daemon says no more."""

    status: dict[str, Any] | None = None
    trouble: str = ""


class Feed:
    """Asks the daemon from now on, again and again where it is gone. `on_news` is called in the feed's own thread."""

    def __init__(self, path: Path, on_news: Callable[[], None]) -> None:
        self.news = News()
        self._path = path
        self._on_news = on_news
        threading.Thread(target=self._run, daemon=True, name="feed").start()

    def _run(self) -> None:
        while True:
            try:
                for status in statuses(self._path):
                    self._tell(News(status))
            except MachineError as error:
                self._tell(replace(self.news, trouble=str(error)))
            time.sleep(RETRY_S)

    def _tell(self, news: News) -> None:
        self.news = news
        self._on_news()
