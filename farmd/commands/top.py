"""The verb that shows a farm or mirror in the terminal as it changes."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from farmd.commands.asking import Verbs, farm_socket, sockets
from farmd.errors import MachineError

WIDTH, HEIGHT = 100, 36
"""Of one frame where there is no terminal: all of a usual farm."""


def add(verbs: Verbs) -> None:
    top = verbs.farm_verb("top", _top, "a farm or mirror in the terminal, as it changes; q ends it, tab: the next one")
    top.add_argument("--once", action="store_true", help="print one frame; so it is where the output is no terminal")
    top.add_argument("--svg", type=Path, metavar="FILE", help="save one frame as a picture")


def _top(arguments: argparse.Namespace) -> int:
    from farmd.tui import feed, live

    if _lives(arguments):
        first = None if arguments.farm else next(iter(sockets()), None)
        live.show(first or farm_socket(arguments), sockets)
        return 0
    path = farm_socket(arguments)
    if arguments.json:
        print(json.dumps(next(feed.statuses(path))))
    elif arguments.svg is not None:
        _save(path, arguments.svg)
    else:
        _print(path)
    return 0


def _lives(arguments: argparse.Namespace) -> bool:
    """Whether it is to be shown as it changes. Only then several farms are no question: a key leads to the next."""
    from farmd.tui import terminal

    return not (arguments.json or arguments.svg or arguments.once) and terminal.interactive()


def _print(path: Path) -> None:
    from farmd.tui import feed, frame, terminal

    width, _ = terminal.size() or (WIDTH, HEIGHT)
    console = terminal.console(max(width, frame.WIDTH_MIN), HEIGHT)
    moment = frame.Moment(time.time(), keys=False)
    status = next(feed.statuses(path))
    console.print(frame.render(status, console.width, HEIGHT, terminal.look(console), moment))


def _save(path: Path, file: Path) -> None:
    from farmd.tui import feed, frame, picture
    from farmd.tui.look import Look

    status = next(feed.statuses(path))
    page = frame.render(status, WIDTH, HEIGHT, Look(), frame.Moment(time.time(), keys=False))
    try:
        file.write_text(picture.svg(page, WIDTH, f"farmctl top --{status.get('kind', 'farm')} {path.stem}"))
    except OSError as error:
        raise MachineError(f"{file} cannot be written: {error.strerror}") from None
