"""Why the two nodes do not link: what people are told of it, and when."""

from __future__ import annotations

from mirrord import orders
from mirrord.orders import Linked, NoLink, Order, Report

REASONS_MAX = 5
"""So many different ones are told until the two have been linked: whoever makes up new ones fills nobody's events."""


class Linking:
    """As far as the volume has told."""

    def __init__(self) -> None:
        self.trouble = ""
        """Why they are not linked, in a sentence; empty: they are, or are not to be, or it is too early to say."""
        self._told: set[str] = set()

    def take(self, report: Report) -> str:
        """The volume has said something. What is to be told of it, once for each reason; may be empty."""
        match report:
            case Linked():
                self.trouble = ""
                self._told.clear()
            case NoLink(sentence):
                self.trouble = sentence
                if sentence not in self._told and len(self._told) < REASONS_MAX:
                    self._told.add(sentence)
                    return f"the two cannot be linked: {sentence}"
        return ""

    def order(self, order: Order) -> None:
        """An order is on its way to the volume."""
        if isinstance(order, orders.Cut | orders.GoAlone | orders.Withdraw):
            self.trouble = ""

    def lose(self) -> None:
        """The volume has ended."""
        self.trouble = ""
