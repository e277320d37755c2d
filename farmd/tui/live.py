"""The view on a terminal: drawn anew when something changes, when the terminal's size does, and every second."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from farmd.errors import MachineError
from farmd.tui import frame, terminal
from farmd.tui.bell import Bell
from farmd.tui.feed import SILENCE_S, Feed
from farmd.tui.frame import Moment
from farmd.tui.screen import NEXT, QUIT, Screen

FRAME_S = 0.1
"""Frames are at least this far apart."""
REFRESH_S = 1.0


def show(path: Path, sockets: Callable[[], Sequence[Path]]) -> None:
    """Until `q` or Ctrl-C, beginning with the daemon behind `path`; a key leads to the next one of `sockets`.
    MachineError if the first does not answer at first; later each is waited for.
    """
    try:
        with Bell() as bell:
            feed = Feed(path, bell.ring)
            _first(feed, bell)
            with Screen() as screen:
                while True:
                    bell.quiet()
                    another = _after(path, sockets())
                    _draw(screen, feed, another)
                    keys = screen.pressed(FRAME_S) or screen.pressed(REFRESH_S - FRAME_S, bell)
                    if keys & QUIT:
                        return
                    if keys & NEXT and another is not None:
                        feed.close()
                        path, feed = another, Feed(another, bell.ring)
    except KeyboardInterrupt:
        return


def _first(feed: Feed, bell: Bell) -> None:
    bell.wait(2 * SILENCE_S)
    if feed.news.status is None:
        raise MachineError(feed.news.trouble or f"{feed.name} did not answer")


def _after(path: Path, sockets: Sequence[Path]) -> Path | None:
    """The one that the key leads to: the next by name, or the first after the last; None if there is no other."""
    others = sorted(other for other in sockets if other != path)
    return next((other for other in others if other > path), others[0] if others else None)


def _draw(screen: Screen, feed: Feed, another: Path | None) -> None:
    width, height = terminal.size() or (frame.WIDTH_MIN, frame.HEIGHT_MIN)
    console = terminal.console(width, height)
    look, news = terminal.look(console), feed.news
    moment = Moment(time.time(), news.trouble, next=another.stem if another is not None else "", history=news.history)
    if news.status is None:
        page = frame.waiting(feed.name, news.trouble, width, height, look, moment)
    else:
        page = frame.render(news.status, width, height, look, moment)
    screen.draw(page, console)
