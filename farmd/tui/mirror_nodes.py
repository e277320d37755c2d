"""The two nodes of a mirror, each with its role in large letters, and the stream between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.style import Style
from rich.text import Text

from farmd.tui.look import Look
from farmd.tui.numbers import age
from farmd.tui.verdict import BAD, GOOD, WARN, Sentence

LINK = 16
"""Characters between the nodes."""
PANEL_MAX = 60

HUES = {"PRIM": 2, "SECOND": 0, "ALONE": 1, "WAIT": 6, "silent": 5}
"""By their places in look.HUES: green, blue, orange, yellow, red; a node that is stopped has no colour."""
SERVING = ("PRIM", "ALONE")
CONDITIONS = {
    "blank": "none of this mirror",
    "insync": "in sync",
    "alone": "only here",
    "outdated": "outdated",
}


@dataclass(frozen=True, slots=True)
class Side:
    """One node, as it is drawn."""

    name: str
    word: str
    """Its role, or silent."""
    remark: str
    """Beside its name."""
    condition: str | None
    generation: str | None


def panels(status: dict[str, Any], width: int, look: Look, *, tall: bool) -> list[Text]:
    """Five lines, or seven; the same picture on both nodes: by name, from left to right."""
    left, right = sorted((_here(status), _there(status["peer"])), key=lambda side: side.name)
    panel = min(PANEL_MAX, (width - LINK) // 2)
    block_left, block_right = (_block(side, panel, look, tall=tall) for side in (left, right))
    link = _link(status, left, right, look)
    middle = [Text()] * ((len(block_left) - len(link) + 1) // 2) + link
    middle += [Text()] * (len(block_left) - len(middle))
    rows = [(_name(left, panel), Text(), _name(right, panel)), *zip(block_left, middle, block_right, strict=True)]
    rows.append((_data(left, panel), Text(), _data(right, panel)))
    return [_row(*row, panel) for row in rows]


def _here(status: dict[str, Any]) -> Side:
    remark = "this node" if status["readiness"] == "ready" else f"this node, {status['readiness'].replace('-', ' ')}"
    return Side(status["node"], status["role"], remark, status["condition"], status["generation"])


def _there(peer: dict[str, Any]) -> Side:
    if peer["role"] is not None:
        return Side(peer["name"], peer["role"], "", peer["condition"], peer["generation"])
    heard_ms = peer["heard_ms_ago"]
    remark = "never heard" if heard_ms is None else f"for {age(heard_ms / 1000)}"
    return Side(peer["name"], "silent", remark, None, None)


def _row(left: Text, middle: Text, right: Text, panel: int) -> Text:
    left, middle = left.copy(), middle.copy()
    left.align("left", panel)
    middle.align("center", LINK)
    return Text.assemble(left, middle, right)


def _name(side: Side, panel: int) -> Text:
    line = Text(side.name, style="bold")
    line.append(f"   {side.remark}" if side.remark else "", style="not bold dim")
    line.truncate(panel, overflow="ellipsis")
    return line


def _data(side: Side, panel: int) -> Text:
    """What is known of its data."""
    if side.condition is None:
        return Text("its data is not known now", style="dim")
    style = {"insync": "", "alone": ""}.get(side.condition, WARN)
    line = Text("data ").append(CONDITIONS.get(side.condition, side.condition), style=style)
    line.append(f"   generation {side.generation or 'none'}", style="dim")
    line.truncate(panel, overflow="ellipsis")
    return line


def _block(side: Side, panel: int, look: Look, *, tall: bool) -> list[Text]:
    """The role in spaced letters, on its colour; in a frame where there are no colours."""
    letters = " ".join(side.word.upper())
    style = _style(side.word, look)
    if style is None:
        rule = Text("+" + "-" * (panel - 2) + "+")
        filler = [Text("|" + " " * (panel - 2) + "|")] * tall
        return [rule, *filler, Text("|" + letters.center(panel - 2) + "|", style="bold"), *filler, rule.copy()]
    empty = [Text(" " * panel, style=style) for _ in range(2 + 2 * tall)]
    middle = Text(letters.center(panel), style=style + Style(bold=True))
    return [*empty[: 1 + tall], middle, *empty[1 + tall :]]


def _style(word: str, look: Look) -> Style | None:
    if look.colours == 0 or word not in HUES:
        return None
    return look.paint(HUES[word])


def _link(status: dict[str, Any], left: Side, right: Side, look: Look) -> list[Text]:
    """An arrow from the node that serves to the one that follows, and how that goes."""
    style, word = flow(status)
    from_left, from_right = left.word in SERVING, right.word in SERVING
    if status["linked"] and from_left != from_right:
        line, tip = ("━" * 8, "▶" if from_left else "◀") if look.unicode else ("=" * 8, ">" if from_left else "<")
        arrow = line + tip if from_left else tip + line
    else:
        arrow = ("╌ " if look.unicode else "- ") * 5
    return [Text(arrow.strip(), style=style), Text(word, style=style)]


def flow(status: dict[str, Any]) -> Sentence:
    """The stream between the two nodes, in a word or two."""
    progress = status["progress"]
    if not status["linked"]:
        return (BAD if status["role"] in SERVING else WARN), "not linked"
    if status["in_sync"]:
        return GOOD, "in sync"
    if progress is not None and progress["total_bytes"]:
        return WARN, f"resync {100 * progress['done_bytes'] / progress['total_bytes']:.0f} %"
    return WARN, "syncing"
