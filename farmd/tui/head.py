"""The lines above the map: which farm, how it does, its totals, and what this node runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from farmd.tui import verdict
from farmd.tui.numbers import milliseconds, rate
from farmd.tui.verdict import BAD, GOOD, WARN, Sentence

GAP = "   "
IDLE = ("stopped", "unknown")
"""Of what is not to run."""
FARM_MIN = 24
"""Characters for the farm's name and addresses, whatever the node is called."""


def lines(status: dict[str, Any], trouble: str, width: int) -> list[Text]:
    """Three or four lines; `trouble` says why what they say is old."""
    said = verdict.sentences(status)
    if trouble:
        said = [(BAD, trouble), *(sentence for sentence in said if sentence[0] != GOOD)]
    found = [_title(status, width), fitting(said, width), _totals(status)]
    here = runs(status)
    return [*found, here] if here is not None else found


def _title(status: dict[str, Any], width: int) -> Text:
    left = Text().append(f"farm {status['farm']}", style="bold").append(f"{GAP}{', '.join(status['vips'])}")
    agreed = ("converged", GOOD) if status["converged"] else ("converging", WARN)
    right = Text(f"epoch {status['epoch']} ").append(*agreed).append(f"{GAP}seen from {status['node']}")
    right.truncate(width - FARM_MIN, overflow="ellipsis")
    left.truncate(width - right.cell_len - len(GAP), overflow="ellipsis", pad=True)
    return left.append(GAP).append_text(right)


def fitting(sentences: Sequence[Sentence], width: int) -> Text:
    """As many sentences as fit, and how many did not."""
    line = Text()
    for number, (style, words) in enumerate(sentences):
        hidden = len(sentences) - number
        rest = f"{GAP}and {hidden} more" if hidden > 1 else ""
        if number and line.cell_len + len(GAP) + Text(words).cell_len + len(rest) > width:
            return line.append(f"{GAP}and {hidden} more", style="dim")
        line.append(GAP if number else "").append(words, style=style)
    return line


def _totals(status: dict[str, Any]) -> Text:
    traffic = [member["traffic"] for member in status["members"] if member["traffic"] is not None]
    takeovers = status["takeovers"]
    last_ms = takeovers["last_ms"]
    last = "" if last_ms is None else f", last {milliseconds(last_ms)} ms"
    line = Text("lease ").append(status["lease"], style=GOOD if status["lease"] == "held" else BAD)
    for word, rated in (("in", "accepted_per_s"), ("dropped", "dropped_per_s")):
        line.append(f"{GAP}{word} {rate(sum(node[rated] for node in traffic))}/s")
    return line.append(f"{GAP}takeovers {takeovers['count']}{last}")


def runs(status: dict[str, Any], *, idle: bool = False) -> Text | None:
    """This node's services and checks; every service has a check of its own, which would say the same again. idle: they
    are not to run here, so that they do not is no news.
    """
    found = [(service["name"], service["state"]) for service in status["services"]]
    found += [(check["name"], check["state"]) for check in status["checks"] if check["kind"] != "service"]
    if not found:
        return None
    line = Text(f"on {status['node']}")
    for name, state in sorted(found, key=lambda one: _style(one[1]) != BAD):
        line.append(f"{GAP}{name} ").append(state, style="dim" if idle and state in IDLE else _style(state))
    return line


def _style(state: str) -> str:
    match state:
        case "running" | "passing":
            return GOOD
        case "failed" | "failing":
            return BAD
    return WARN
