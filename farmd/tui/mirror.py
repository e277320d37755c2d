"""A mirror's frame: its two nodes and what flows between them, how equal they are, what is written, who hears whom."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from farmd.tui import head, mirror_figures, mirror_verdict, transitions
from farmd.tui.history import History
from farmd.tui.look import Look
from farmd.tui.mirror_nodes import SERVING, panels
from farmd.tui.numbers import milliseconds
from farmd.tui.verdict import BAD, GOOD

GAP = head.GAP
EVENTS_WANTED = 4
GAPS = 3
"""Empty lines between head, nodes, figures and events, where there is room."""


def lines(
    status: dict[str, Any], trouble: str, width: int, height: int, look: Look, history: History, now_s: float
) -> list[Text]:
    """At most `height` lines; `trouble` says why what they say is old."""
    said = mirror_verdict.sentences(status)
    if trouble:
        said = [(BAD, trouble), *(sentence for sentence in said if sentence[0] != GOOD)]
    above = [_title(status, width), head.fitting(said, width), _totals(status)]
    runs = head.runs(status, idle=status["role"] not in SERVING)
    figures = [*mirror_figures.lines(status, width, look, history), *([runs] if runs is not None else [])]
    tall = height >= len(above) + len(figures) + GAPS + EVENTS_WANTED + 9
    nodes = panels(status, width, look, tall=tall)
    free = height - len(above) - len(nodes) - len(figures)
    gap = [Text()] if free >= GAPS + EVENTS_WANTED + 1 else []
    events = transitions.table(status["events"], "generation", now_s, free - GAPS * len(gap))
    return [*above, *gap, *nodes, *gap, *figures, *gap, *events]


def _title(status: dict[str, Any], width: int) -> Text:
    left = Text().append(f"mirror {status['mirror']}", style="bold").append(f"{GAP}{', '.join(status['vips'])}")
    right = Text(f"generation {status['generation'] or 'none'}{GAP}seen from {status['node']}")
    right.truncate(width - head.FARM_MIN, overflow="ellipsis")
    left.truncate(width - right.cell_len - len(GAP), overflow="ellipsis", pad=True)
    return left.append(GAP).append_text(right)


def _totals(status: dict[str, Any]) -> Text:
    """What is configured, and what has happened."""
    takeovers = status["takeovers"]
    last_ms = takeovers["last_ms"]
    line = Text(f"ack {status['ack']}")
    if status["vips"]:
        line.append(f"{GAP}{status['vip_how']}")
    if status["vips"] and status["role"] in SERVING:
        line.append(f"{GAP}lease ").append(status["lease"], style=GOOD if status["lease"] == "held" else BAD)
    last = "" if last_ms is None else f", last {milliseconds(last_ms)} ms"
    return line.append(f"{GAP}takeovers {takeovers['count']}{last}")
