"""Why a peer that is there may not be heard: what its datagrams were dropped for, told to people once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

TELLING = {
    "Forged": "heartbeats arrive that are not sealed with our keys: are the keys the same on both nodes?",
    "OtherVersion": "heartbeats of another version arrive: the two programs may be one version apart, not more",
    "OtherFarm": "heartbeats of another farm or mirror arrive: do the names and ports agree on both nodes?",
    "Stranger": "heartbeats arrive that are not of our peer: do ids and addresses of the nodes agree on both?",
}
"""By the fault's name (farmd.errors)."""


class Refusals:
    """What has been told since the peer was heard last."""

    def __init__(self) -> None:
        self.trouble = ""
        """What was told last, and is still so."""
        self._told: set[str] = set()
        self._before: dict[str, int] = {}

    def new(self, refused: Mapping[str, int], *, heard: bool) -> Iterator[str]:
        """Sentences for what is counted now and was not when the peer was heard last."""
        if heard:
            self.trouble = ""
            self._told.clear()
            self._before = dict(refused)
            return
        for fault, sentence in TELLING.items():
            if fault not in self._told and refused.get(fault, 0) > self._before.get(fault, 0):
                self._told.add(fault)
                self.trouble = sentence
                yield sentence
