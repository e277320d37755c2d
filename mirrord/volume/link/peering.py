"""Getting a link: dialling or listening, as ordered, and nothing after that was ended."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from farmd.kit.wire import Keyring
from mirrord.orders import NoLink
from mirrord.volume.link.channel import Channel
from mirrord.volume.link.dialling import Dialler, Greeted, Line, Tell, said
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

    def __init__(self, pair: Pair, loop: Loop, tell: Callable[[NoLink], None]) -> None:
        """tell: called in the loop."""
        self._pair = pair
        self._loop = loop
        self._tell = tell
        self._way: Dialler | Listener | None = None
        self._number = 0
        """Of the present way; what an earlier one was still about to hand over is closed."""

    def dial(self, generation: tuple[int, int], adopt: Adopt) -> None:
        """One channel. OSError if the files for TLS cannot be used."""
        self._begin(Dialler, generation, adopt)

    def listen(self, generation: tuple[int, int], adopt: Adopt) -> None:
        """Each channel that a peer gets greeted; the newest one is right. OSError: as above, or the port is taken."""
        self._begin(Listener, generation, adopt)

    def close(self) -> None:
        """No channel any more."""
        self._number += 1
        if self._way is not None:
            self._way.close()
            self._way = None

    def _begin(self, way: type[Dialler | Listener], generation: tuple[int, int], adopt: Adopt) -> None:
        self.close()
        greeted, tell = self._reports(adopt)
        try:
            self._way = way(self._pair.line, self._standing(generation), self._pair.keyring, greeted, tell)
        except OSError as error:
            self._tell(NoLink(f"this node cannot take part in a link: {said(error)}"))
            raise

    def _reports(self, adopt: Adopt) -> tuple[Greeted, Tell]:
        """What a new way calls, in its thread; heeded in the loop, as long as it is the present one."""
        number = self._number

        def arrived(channel: Channel) -> None:
            if number == self._number:
                adopt(channel)
            else:
                channel.close()

        def greeted(channel: Channel, version: int) -> None:
            log.info("linked to node %d, version %d of the stream", self._pair.peer, version)
            self._loop.post(lambda: arrived(channel))

        def tell(reason: str) -> None:
            self._loop.post(lambda: self._tell(NoLink(reason)) if number == self._number else None)

        return greeted, tell

    def _standing(self, generation: tuple[int, int]) -> Standing:
        return Standing(self._pair.mirror, self._pair.node, self._pair.peer, generation)
