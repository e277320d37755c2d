"""The verb that shows a farm in the terminal as it changes."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from farmd.commands.asking import Verbs, farm_socket
from farmd.errors import MachineError

WIDTH, HEIGHT = 100, 36
"""Of one frame where there is no terminal: all of a usual farm."""


def add(verbs: Verbs) -> None:
    top = verbs.farm_verb("top", _top, "the farm in the terminal, as it changes; q ends it")
    top.add_argument("--once", action="store_true", help="print one frame; so it is where the output is no terminal")
    top.add_argument("--svg", type=Path, metavar="FILE", help="save one frame as a picture")


def _top(arguments: argparse.Namespace) -> int:
    from farmd.tui import feed

    path = farm_socket(arguments)
    if arguments.json:
        print(json.dumps(next(feed.statuses(path))))
    elif arguments.svg is not None:
        _save(path, arguments.svg)
    else:
        _show(path, arguments.once)
    return 0


def _show(path: Path, once: bool) -> None:
    from farmd.tui import feed, frame, live, terminal

    if not once and terminal.interactive():
        live.show(path)
        return
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
        file.write_text(picture.svg(page, WIDTH, f"farmctl top --farm {status['farm']}"))
    except OSError as error:
        raise MachineError(f"{file} cannot be written: {error.strerror}") from None
