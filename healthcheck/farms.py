"""All farms and mirrors of this node: their control sockets are in one folder, and come and go with their daemons."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path

from healthcheck.health import MIRROR, Health, together
from healthcheck.watch import FARM, Watch

LOOK_S = 0.05
"""How often the folder is looked at, and a daemon that has gone is tried again: cheap, and no load balancer asks more
often."""


class Farms:
    """Who has been here once is expected from then on: a farm whose daemon is gone fails, it is not unknown. Farms and
    mirrors of one node have different names.
    """

    def __init__(self, folder: Path, expected: Iterable[str], *, mirrors: Iterable[str] = (), buckets: bool) -> None:
        self._folder = folder
        self._buckets = buckets
        self._watches: dict[str, Watch] = {}
        for kind, names in ((FARM, expected), (MIRROR, mirrors)):
            for name in names:
                self._expect(folder / f"{name}.sock", kind)

    def __iter__(self) -> Iterator[Watch]:
        return iter(self._watches.values())

    def get(self, name: str) -> Watch | None:
        """The farm or mirror of this name, or None if there has never been one."""
        return self._watches.get(name)

    def health(self) -> Health:
        """The node's: that of all of them together."""
        return together(watch.health() for watch in self)

    async def run(self) -> None:
        """Watches all of them until cancelled."""
        try:
            while True:
                self._look()
                await asyncio.sleep(LOOK_S)
        finally:
            for watch in self:
                watch.close()

    def _look(self) -> None:
        for watch in self:
            watch.connect()
            watch.remark()
        for path in sorted(self._folder.glob("*.sock")):
            if path.stem not in self._watches:
                self._expect(path).connect()

    def _expect(self, path: Path, kind: str = FARM) -> Watch:
        self._watches[path.stem] = Watch(path, kind, buckets=self._buckets)
        return self._watches[path.stem]
