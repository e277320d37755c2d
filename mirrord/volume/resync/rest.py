"""What is in a folder of the secondary and was not in the primary's listing, some of it at a time.

It may be as much as the folder ever had: to remove a hundred thousand files takes seconds, and live changes must not
wait for all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

GONE_EACH = 32
LOOKED_AT_EACH = 1024
"""Names in one step."""


class Rest:
    """One folder's. `listed`: the names that stay; live changes add to them."""

    def __init__(self, fd: int, listed: set[bytes]) -> None:
        """fd: the folder, opened for this; it is closed here."""
        self.listed = listed
        self.ended = False
        try:
            self._entries = os.scandir(fd)
        finally:
            os.close(fd)

    def some(self) -> Iterator[bytes]:
        """The next ones, which the caller takes out of the folder."""
        gone = 0
        for looked_at, entry in enumerate(self._entries, 1):
            name = os.fsencode(entry.name)
            if name not in self.listed:
                gone += 1
                yield name
            if gone == GONE_EACH or looked_at == LOOKED_AT_EACH:
                return
        self.ended = True

    def close(self) -> None:
        self._entries.close()
