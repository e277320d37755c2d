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
from farmd.tui.history import History, extended

SILENCE_S = 2.0
"""A daemon that lives says so many times a second."""
RETRY_S = 0.5


def statuses(path: Path) -> Iterator[dict[str, Any]]:
    """Every status with "buckets", as the daemon pushes them; MachineError when it ends or falls silent."""
    return control.watch(path, SILENCE_S, daemon=control.daemon_of(path), buckets=True)


@dataclass(frozen=True, slots=True)
class News:
    """The newest status, and one sentence if it is old because the daemon says no more."""

    status: dict[str, Any] | None = None
    trouble: str = ""
    history: History = ()
    """A mirror's figures of the last minutes."""


class Feed:
    """Asks the daemon from now on until closed, again and again where it is gone. `on_news` is called in the feed's own
    thread.
    """

    def __init__(self, path: Path, on_news: Callable[[], None]) -> None:
        self.news = News()
        self._path = path
        self._on_news = on_news
        self._closed = False
        threading.Thread(target=self._run, daemon=True, name="feed").start()

    @property
    def name(self) -> str:
        """The farm's or mirror's."""
        return self._path.stem

    def close(self) -> None:
        """There are no more news; the thread ends when the daemon has said its next word, or none in time."""
        self._closed = True

    def _run(self) -> None:
        while not self._closed:
            try:
                for status in statuses(self._path):
                    self._tell(News(status, history=extended(self.news.history, status)))
                    if self._closed:
                        return
            except MachineError as error:
                self._tell(replace(self.news, trouble=str(error)))
            time.sleep(RETRY_S)

    def _tell(self, news: News) -> None:
        if not self._closed:
            self.news = news
            self._on_news()
