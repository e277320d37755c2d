"""What a mirror does: how equal its nodes are, what is written and how fast, who hears whom."""

from __future__ import annotations

from typing import Any

from rich.style import Style
from rich.text import Text

from farmd.tui import history
from farmd.tui.history import History
from farmd.tui.look import Look
from farmd.tui.mirror_nodes import HUES, SERVING
from farmd.tui.numbers import age, milliseconds, rate, size
from farmd.tui.verdict import BAD, GOOD, WARN

GAP = "   "
LABEL = 11
BARS_MIN, BARS_MAX = 10, 60
BAR_MIN = 10
WIDE = 100
SAID, TAIL = 22, 27
"""Characters for the numbers at the left of the bars, and at their right."""
LATE_MS = 3000.0
"""Silence of a network, or of a witness, that is worth a colour; both are asked far more often."""
WITNESS_LATE_MS = 12_000.0
"""While nothing depends on it, it is asked every five seconds."""


def lines(status: dict[str, Any], width: int, look: Look, past: History) -> list[Text]:
    """Four lines."""
    return [_equality(status, width, look), _writes(status, width, look, past), _latency(status, width, look, past),
            _contact(status)]  # fmt: skip


def _label(text: str) -> Text:
    return Text().append(text.ljust(LABEL), style="dim")


def _equality(status: dict[str, Any], width: int, look: Look) -> Text:
    """How far a resync or verify is; else how equal both are."""
    progress = status["progress"]
    if progress is None:
        return _label("data").append_text(_standing(status))
    total = progress["total_bytes"]
    label = _label("verify" if status["in_sync"] else "resync")
    if not total:
        return label.append("looks for what may differ")
    part = progress["done_bytes"] / total
    left_s = progress["left_s"]
    words = [f"{100 * part:3.0f} %", f"{size(progress['done_bytes'])} of {size(total)}"]
    words += [f"{size(progress['rate_bytes_s'])}/s"]
    words += [] if left_s is None else [f"{age(left_s)} left"]
    words += [f"sent {size(progress['sent_bytes'])}"] if width >= WIDE else []
    said = GAP.join(words)
    bar = _bar(part, max(BAR_MIN, width - LABEL - len(said) - 2), look)
    return label.append_text(bar).append(f"  {said}")


def _standing(status: dict[str, Any]) -> Text:
    if status["in_sync"]:
        return Text.assemble(("in sync", GOOD), (": whatever was acknowledged is on both nodes", "dim"))
    if status["role"] in SERVING:
        count = status["figures"]["zones"]
        zones = "1 zone" if count == 1 else f"{count} zones"
        return Text.assemble(("not in sync", WARN), (f": {zones} will be compared when the peer is back", "dim"))
    return Text("not in sync", style=WARN)


def _bar(part: float, width: int, look: Look) -> Text:
    """How much is done, in half characters."""
    halves = round(2 * width * min(max(part, 0.0), 1.0))
    if look.colours == 0:
        return Text("#" * (halves // 2) + "." * (width - halves // 2))
    bar = Text().append(" " * (halves // 2), style=Style(bgcolor=look.colour(HUES["SECOND"])))
    if halves % 2 and look.unicode:
        bar.append("▌", style=Style(color=look.colour(HUES["SECOND"])))
    return bar.append(("·" if look.unicode else ".") * (width - bar.cell_len), style="dim")


def _writes(status: dict[str, Any], width: int, look: Look, past: History) -> Text:
    figures = status["figures"]
    said = f"{rate(figures['writes_s'])}/s   {size(figures['bytes_s'])}/s"
    return _drawn("writes", said, [point.writes_s for point in past], width, look)


def _latency(status: dict[str, Any], width: int, look: Look, past: History) -> Text:
    figures = status["figures"]
    p50, p99 = figures["latency_ms"]["p50"], figures["latency_ms"]["p99"]
    said = "nothing written" if p50 is None else f"p50 {milliseconds(p50)}  p99 {milliseconds(p99 or p50)} ms"
    line = _drawn("latency", said, [point.p99_ms or 0.0 for point in past], width, look)
    line.append(f"{GAP}lag {size(figures['lag_bytes'])}")
    return line.append(f"{GAP}held {figures['held']}", style=BAD if figures["held"] else "")


def _drawn(label: str, said: str, values: list[float], width: int, look: Look) -> Text:
    """A number and its last minute."""
    bars = max(BARS_MIN, min(BARS_MAX, width - LABEL - SAID - len(GAP) - TAIL))
    line = _label(label).append(f"{said:<{SAID}}{GAP}")
    colour = "" if look.colours == 0 else Style(color=look.colour(HUES["PRIM"]))
    return line.append(history.bars(values, bars, unicode=look.unicode), style=colour)


def _contact(status: dict[str, Any]) -> Text:
    line = _label("heard")
    for network in status["peer"]["networks"]:
        _ago(line, network["address"], network["heard_ms_ago"], LATE_MS)
    witness = status["witness"]
    if witness["configured"]:
        _ago(line, "witness", witness["answered_ms_ago"], WITNESS_LATE_MS)
    return line


def _ago(line: Text, what: str, ms_ago: float | None, late_ms: float) -> None:
    """When something was heard, calmly: to the second, and not at all as long as it is on time."""
    late = ms_ago is None or ms_ago > late_ms
    line.append(GAP if len(line) > LABEL else "").append(f"{what} ")
    when = "never" if ms_ago is None else f"{age(ms_ago / 1000)} ago" if late else "ok"
    line.append(when, style=BAD if late else GOOD)
