"""Getting a link: dialling or listening, as ordered, and nothing after that was ended."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from farmd.kit.wire import Keyring
from mirrord.volume.link.channel import Channel
from mirrord.volume.link.dialling import Dialler, Greeted, Line
from mirrord.volume.link.greeting import Standing
from mirrord.volume.link.listening import Listener
from mirrord.volume.loop import Loop

log = logging.getLogger(__name__)

Adopt = Callable[[Channel], None]
"""Takes a greeted channel, in the loop."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Who the two nodes are, and how they reach each other."""

    mirror: str
    node: int
    peer: int
    line: Line
    keyring: Keyring


class Peering:
    """At most one dialler or listener at a time."""

    def __init__(self, pair: Pair, loop: Loop) -> None:
        self._pair = pair
        self._loop = loop
        self._way: Dialler | Listener | None = None
        self._number = 0
        """Of the present way; what an earlier one was still about to hand over is closed."""

    def dial(self, generation: tuple[int, int], adopt: Adopt) -> None:
        """One channel. OSError if the files for TLS cannot be used."""
        greeted = self._begin(adopt)
        self._way = Dialler(self._pair.line, self._standing(generation), self._pair.keyring, greeted)

    def listen(self, generation: tuple[int, int], adopt: Adopt) -> None:
        """Each channel that a peer gets greeted; the newest one is right. OSError: as above, or the port is taken."""
        greeted = self._begin(adopt)
        self._way = Listener(self._pair.line, self._standing(generation), self._pair.keyring, greeted)

    def close(self) -> None:
        """No channel any more."""
        self._number += 1
        if self._way is not None:
            self._way.close()
            self._way = None

    def _begin(self, adopt: Adopt) -> Greeted:
        self.close()
        number = self._number

        def arrived(channel: Channel) -> None:
            if number == self._number:
                adopt(channel)
            else:
                channel.close()

        def greeted(channel: Channel, version: int) -> None:
            log.info("linked to node %d, version %d of the stream", self._pair.peer, version)
            self._loop.post(lambda: arrived(channel))

        return greeted

    def _standing(self, generation: tuple[int, int]) -> Standing:
        return Standing(self._pair.mirror, self._pair.node, self._pair.peer, generation)
