"""Answers of the daemon as tables for a terminal: pure functions from an answer to something that rich can draw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from farmd.tui.numbers import rate, size

PIPED_WIDTH = 250

STATUS_STYLES = {
    "up": "green",
    "draining": "yellow",
    "joining": "yellow",
    "leaving": "yellow",
    "failed": "bold red",
    "silent": "dim",
    "left": "dim",
    "running": "green",
    "stopped": "bold red",
    "passing": "green",
    "failing": "bold red",
    "PRIM": "green",
    "SECOND": "green",
    "ALONE": "yellow",
    "WAIT": "bold red",
    "STOP": "dim",
    "outdated": "yellow",
}


def show(drawing: RenderableType) -> None:
    """Prints it; colours only on a terminal, and not where NO_COLOR asks for none. What is read by a program is not
    folded to the width of a terminal that is not there."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    console.print(drawing, soft_wrap=isinstance(drawing, Text))


def status(answer: dict[str, Any]) -> RenderableType:
    """The farm in a few lines, then its nodes, what this one runs and whether it is well, then what the filter
    counted."""
    parts: list[RenderableType] = [_head(answer), _nodes(answer)]
    if answer["services"]:
        parts.append(_services(answer["services"]))
    failing = [check for check in answer["checks"] if check["name"] in answer["failing"]]
    if failing:
        parts.append(_checks(failing))
    if answer["reason"]:
        parts.append(Text(f"not ready: {_plain(answer['reason'])}", style="bold red"))
    return Group(*parts, _counters(answer))


def mirror(answer: dict[str, Any]) -> RenderableType:
    """The mirror in a few lines: its two nodes, what is written, who hears whom, what this node runs."""
    parts: list[RenderableType] = [_mirror_head(answer), _pair(answer)]
    if answer["progress"] is not None:
        parts.append(_progress(answer["progress"], "verify" if answer["in_sync"] else "resync"))
    parts += [_writing(answer["figures"]), _heard(answer)]
    if answer["services"]:
        parts.append(_services(answer["services"]))
    failing = [check for check in answer["checks"] if check["state"] == "failing"]
    if failing:
        parts.append(_checks(failing))
    parts += [Text.assemble((label, "bold red"), _plain(text)) for label, text in _troubles(answer)]
    return Group(*parts, _counters(answer))


def checks(answer: dict[str, Any]) -> RenderableType:
    """The services, then every check with its newest result."""
    if not answer["checks"]:
        return Text("no services and no checks are configured")
    parts: list[RenderableType] = [_services(answer["services"])] if answer["services"] else []
    return Group(*parts, _checks(answer["checks"]))


def events(answer: dict[str, Any]) -> RenderableType:
    """A line for each transition."""
    lines = [
        f"{_clock(event['time'])}  {event.get('epoch') or event['generation']:>6}  {_plain(event['text'])}"
        for event in answer["events"]
    ]
    return Text("\n".join(lines) or "nothing has happened", overflow="fold")


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


def _mirror_head(answer: dict[str, Any]) -> Text:
    text = Text()
    text.append(f"mirror {answer['mirror']}", style="bold")
    if answer["vips"]:
        text.append(f"  {', '.join(answer['vips'])}  on {answer['interface']}  {answer['vip_how']}")
    text.append(f"  ack {answer['ack']}")
    for directory in answer["directories"]:
        text.append("\n  ").append_text(_plain(directory))
    text.append(f"\nthis is {answer['node']}", style="bold")
    text.append(f"  {answer['role']}", style=STATUS_STYLES.get(answer["role"], ""))
    text.append(f"  {answer['readiness']}", style="" if answer["readiness"] == "ready" else "yellow")
    return text.append(*("  in sync", "green") if answer["in_sync"] else ("  not in sync", "yellow"))


def _pair(answer: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("node", "role", "data", "generation", "heard"):
        table.add_column(heading)
    peer = answer["peer"]
    table.add_row(*_side(answer["node"], answer, "this node"))
    table.add_row(*_side(peer["name"], peer, _ago(peer["heard_ms_ago"])))
    return table


def _side(name: str, of: dict[str, Any], heard: str) -> list[str | Text]:
    """What is known of one of the two nodes."""
    role, condition = of["role"] or "silent", of["condition"] or "unknown"
    return [
        name,
        Text(role, style=STATUS_STYLES.get(role, "")),
        Text(condition, style=STATUS_STYLES.get(condition, "")),
        of["generation"] or "none",
        heard,
    ]


def _progress(progress: dict[str, Any], what: str) -> Text:
    """How far a resync or verify is."""
    part = 100 * progress["done_bytes"] / progress["total_bytes"] if progress["total_bytes"] else 100.0
    left = "" if progress["left_s"] is None else f", {progress['left_s']:.0f} s left"
    text = f"{what}: {part:.1f} % of {size(progress['total_bytes'])}, "
    text += f"{size(progress['rate_bytes_s'])}/s, {size(progress['sent_bytes'])} sent{left}"
    return Text(text, style="yellow")


def _writing(figures: dict[str, Any]) -> Text:
    latency = figures["latency_ms"]
    text = Text(f"writes: {rate(figures['writes_s'])}/s, {size(figures['bytes_s'])}/s")
    if latency["p50"] is not None:
        text.append(f", {latency['p50']:g} ms (99 %: {latency['p99']:g} ms)")
    zones = "1 zone" if figures["zones"] == 1 else f"{figures['zones']} zones"
    return text.append(f"; {size(figures['lag_bytes'])} on the way, {zones} to compare after a crash")


def _heard(answer: dict[str, Any]) -> Text:
    heard = [f"{network['address']} {_ago(network['heard_ms_ago'])}" for network in answer["peer"]["networks"]]
    witness = answer["witness"]
    if witness["configured"]:
        heard.append(f"witness {_ago(witness['answered_ms_ago'])}")
    return Text(f"heard: {', '.join(heard)}")


def _ago(ms: float | None) -> str:
    return "never" if ms is None else f"{ms / 1000:.1f} s ago"


def _troubles(answer: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What somebody has to look at, each with a word before it."""
    if answer["reason"]:
        yield f"{'trouble' if answer['readiness'] == 'ready' else answer['readiness']}: ", answer["reason"]
    if answer["no_link"] and answer["no_link"] not in answer["reason"]:
        yield "not linked: ", answer["no_link"]
    if answer["figures"]["held"]:
        yield "held: ", f"{answer['figures']['held']} changes wait for the peer"
    if answer["vip_trouble"]:
        yield "virtual address: ", answer["vip_trouble"]
    if answer["diverged"] is not None:
        yield "diverged: ", f"files that only this node had are kept in {answer['diverged']['folder']}"
    if answer["verified"] is not None and answer["verified"]["count"]:
        yield "verified: ", f"{answer['verified']['count']} files differ"
    if abs(answer["clocks_apart_s"]) > 1:
        yield "clocks: ", f"{abs(answer['clocks_apart_s']):.1f} s apart"


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


def _services(services: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("service", "state", "since", "restarts", ""):
        table.add_column(heading, justify="right" if heading == "restarts" else "left")
    for service in services:
        remark = service["text"] if service["managed"] else f"only watched  {service['text']}"
        table.add_row(
            service["name"],
            Text(service["state"], style=STATUS_STYLES.get(service["state"], "yellow")),
            _clock(service["since"]),
            str(service["restarts"]),
            _plain(remark),
        )
    return table


def _checks(checks: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("check", "kind", "state", "since", "ms", "on failure", ""):
        table.add_column(heading, justify="right" if heading == "ms" else "left")
    for check in checks:
        table.add_row(
            check["name"],
            check["kind"],
            Text(check["state"], style=STATUS_STYLES.get(check["state"], "yellow")),
            _clock(check["since"]),
            f"{check['took_ms']:.1f}",
            check["on_failure"],
            _plain(check["text"]),
        )
    return table


def _plain(text: str) -> Text:
    """Words of other programs, with what could steer the terminal made visible."""
    return Text("".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text))


def _clock(unix_s: float) -> str:
    """Local time, with the date unless it is today's."""
    moment = datetime.fromtimestamp(unix_s)
    return moment.strftime("%H:%M:%S" if moment.date() == datetime.now().date() else "%Y-%m-%d %H:%M:%S")


def _counters(answer: dict[str, Any]) -> Text:
    counted = [f"{name} {count}" for name, count in (answer["counters"] | answer["refused"]).items() if count]
    return Text("counted: " + (", ".join(counted) or "nothing yet"), style="dim")
