"""Answers of the daemon as tables for a terminal: pure functions from an answer to something that rich can draw."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

STATUS_STYLES = {
    "up": "green",
    "draining": "yellow",
    "joining": "yellow",
    "leaving": "yellow",
    "failed": "bold red",
    "silent": "dim",
    "left": "dim",
}


def show(drawing: RenderableType) -> None:
    """Prints it; colours only on a terminal, and not where NO_COLOR asks for none."""
    Console(highlight=False).print(drawing)


def status(answer: dict[str, Any]) -> RenderableType:
    """The farm in a few lines, then its nodes, then what the filter counted."""
    return Group(_head(answer), _nodes(answer), _counters(answer))


def buckets(answer: dict[str, Any]) -> RenderableType:
    """For each owner its buckets, the states they have here, and the packets they brought here."""
    table = Table(title=f"buckets, epoch {answer['epoch']}", title_justify="left", box=None, pad_edge=False)
    for heading in ("owner", "buckets", "state here", "packets accepted here"):
        table.add_column(heading, justify="left" if heading in ("owner", "state here") else "right")
    owned: dict[str, list[int]] = {}
    for bucket, owner in enumerate(answer["owners"]):
        owned.setdefault(owner or "nobody", []).append(bucket)
    for owner, numbers in sorted(owned.items()):
        states = Counter(answer["states"][bucket] for bucket in numbers)
        here = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        packets = sum(answer["packets"][bucket] for bucket in numbers)
        table.add_row(owner, str(len(numbers)), here, str(packets))
    return table


def _head(answer: dict[str, Any]) -> Text:
    text = Text()
    text.append(f"farm {answer['farm']}", style="bold")
    text.append(f"  {', '.join(answer['vips'])}  on {answer['interface']}  vmac {answer['vmac']}\n")
    text.append(f"this is {answer['node']}", style="bold")
    text.append(f"  {answer['status']}", style=STATUS_STYLES.get(answer["status"], ""))
    text.append(f"  epoch {answer['epoch']}{'' if answer['converged'] else ' (converging)'}")
    text.append(f"  lease {answer['lease']}", style="" if answer["lease"] == "held" else "bold red")
    text.append(f"  xdp {answer['xdp']}")
    if answer["moving"]:
        text.append(f"  {answer['moving']} buckets moving")
    return text


def _nodes(answer: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("node", "status", "weight", "buckets", "share", ""):
        table.add_column(heading, justify="right" if heading in ("weight", "buckets", "share") else "left")
    for member in answer["members"]:
        style = STATUS_STYLES.get(member["status"], "")
        remark = "does not hear us" if member["deaf"] else ""
        table.add_row(
            member["name"],
            Text(member["status"], style=style),
            str(member["weight"]),
            str(member["buckets"]),
            f"{100 * member['share']:.1f} %",
            remark,
        )
    return table


def _counters(answer: dict[str, Any]) -> Text:
    counted = [f"{name} {count}" for name, count in (answer["counters"] | answer["refused"]).items() if count]
    return Text("counted: " + (", ".join(counted) or "nothing yet"), style="dim")
