"""The terminal while the view has it: the alternate screen, no cursor, keys one by one; given back whatever happens."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable
from itertools import zip_longest
from typing import Any, NoReturn, Protocol, Self

from rich.console import Console
from rich.text import Text

from farmd.tui.terminal import capability

CLEAR = "\x1b[2J"
"""This and the placing of the cursor are as in ECMA-48, which every terminal of today understands."""

QUIT = frozenset(b"qQ")
NEXT = frozenset(b"\tnN")


class Hearable(Protocol):
    """What select(2) can wait for."""

    def fileno(self) -> int: ...


class Screen:
    """The terminal's screen and keyboard."""

    def __init__(self) -> None:
        self._keyboard = sys.stdin.fileno()
        self._shown: list[str] = []
        self._size = (0, 0)
        self._suspended = False
        self._handlers: dict[int, Any] = {}
        self._enter = capability("smcup", "\x1b[?1049h") + capability("civis", "\x1b[?25l")
        self._leave = capability("rmcup", "\x1b[?1049l") + capability("cnorm", "\x1b[?25h")
        if not capability("rmcup", "\x1b[?1049l"):
            self._leave += "\x1b[999;1H\n"  # no second screen, so the frame stays and the prompt comes below

    def __enter__(self) -> Self:
        self._modes = termios.tcgetattr(self._keyboard)
        handlers: dict[int, Callable[[int, object], None]] = {
            signal.SIGTERM: _end,
            signal.SIGHUP: _end,
            signal.SIGTSTP: self._suspend,
            signal.SIGWINCH: _wake,
        }
        for number, handler in handlers.items():
            self._handlers[number] = signal.signal(number, handler)
        self._take()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError, termios.error):  # the terminal may have gone
            self._give_back()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def draw(self, page: Text, console: Console) -> None:
        """Show a page; only lines that differ from what is there are written."""
        with console.capture() as capture:
            console.print(page, end="")
        fresh = console.size != self._size
        if fresh:
            self._size, self._shown = console.size, []
        lines = capture.get().split("\n")
        pairs = enumerate(zip_longest(lines, self._shown, fillvalue=""), start=1)
        changed = [f"\x1b[{row};1H\x1b[2K{line}" for row, (line, before) in pairs if line != before]
        self._shown = lines
        self._write((CLEAR if fresh else "") + "".join(changed))

    def pressed(self, timeout_s: float, *others: Hearable) -> frozenset[int]:
        """The keys that were pressed, `q` among them if the terminal has gone; waits for a key or for `others`, no
        longer than told.
        """
        heard, _, _ = select.select([self._keyboard, *others], [], [], timeout_s)
        if self._suspended:
            self._stand_by()
        if self._keyboard not in heard:
            return frozenset()
        return frozenset(os.read(self._keyboard, 1024)) or QUIT

    def _suspend(self, *_: object) -> None:
        self._suspended = True  # and the bell rings; a handler must not write amid a write

    def _stand_by(self) -> None:
        """Ctrl-Z: the shell gets its terminal as it was, and `fg` brings the view back."""
        self._give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._suspended = False
        self._take()

    def _take(self) -> None:
        tty.setcbreak(self._keyboard)
        self._size = (0, 0)
        self._write(self._enter)

    def _give_back(self) -> None:
        termios.tcsetattr(self._keyboard, termios.TCSADRAIN, self._modes)
        self._write(self._leave)

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def _wake(*_: object) -> None:
    """A signal with a handler rings the bell."""


def _end(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)
