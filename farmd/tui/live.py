"""The view on a terminal: drawn anew when something changes, when the terminal's size does, and every second."""

from __future__ import annotations

import time
from pathlib import Path

from farmd.errors import MachineError
from farmd.tui import frame, terminal
from farmd.tui.bell import Bell
from farmd.tui.feed import SILENCE_S, Feed, News
from farmd.tui.frame import Moment
from farmd.tui.screen import Screen

FRAME_S = 0.1
"""Frames are at least this far apart."""
REFRESH_S = 1.0


def show(path: Path) -> None:
    """Until `q` or Ctrl-C. MachineError if the daemon behind the socket does not answer at first; later it is waited
    for.
    """
    try:
        with Bell() as bell:
            feed = Feed(path, bell.ring)
            _first(feed, bell)
            with Screen() as screen:
                while True:
                    bell.quiet()
                    _draw(screen, feed.news)
                    if screen.quit_asked(FRAME_S) or screen.quit_asked(REFRESH_S - FRAME_S, bell):
                        return
    except KeyboardInterrupt:
        return


def _first(feed: Feed, bell: Bell) -> None:
    bell.wait(2 * SILENCE_S)
    if feed.news.status is None:
        raise MachineError(feed.news.trouble or "farmd did not answer")


def _draw(screen: Screen, news: News) -> None:
    width, height = terminal.size() or (frame.WIDTH_MIN, frame.HEIGHT_MIN)
    console = terminal.console(width, height)
    assert news.status is not None
    moment = Moment(time.time(), news.trouble)
    screen.draw(frame.render(news.status, width, height, terminal.look(console), moment), console)
