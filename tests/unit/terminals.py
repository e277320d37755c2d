"""A program on a terminal of its own: a pseudo-terminal, and the screen that its output makes."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

TOKEN = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z])|\x1b[()]B|(\r\n?|\n)|([^\x1b\r\n\x0e\x0f]+)|[\x0e\x0f]")
WAIT_S = 20.0
"""Far more than anything here takes; only a failing test waits as long."""


class Emulator:
    """As much of xterm as the view uses. Anything else it would write is an error."""

    def __init__(self) -> None:
        self.rows: dict[int, str] = {}
        self.alternate = False
        self.cursor = True
        self.heads = 0
        """How often the first line was drawn."""
        self._row, self._column = 1, 1
        self._rest = ""

    def feed(self, text: str) -> None:
        text, self._rest = self._rest + text, ""
        place = 0
        while place < len(text):
            found = TOKEN.match(text, place)
            if found is None or (found.end() == len(text) and "\x1b" in text[place:] and not found[2]):
                self._rest = text[place:]  # the rest of a sequence is on its way
                assert len(self._rest) < 64, f"not understood: {self._rest!r}"
                return
            place = found.end()
            self._obey(found)

    def _obey(self, found: re.Match[str]) -> None:
        match found[2], found[1]:
            case "H", place:
                self._row, self._column = (int(number) for number in (place or "1;1").split(";"))
            case "K", "2":
                self.rows.pop(self._row, None)
                self.heads += self._row == 1
            case "J", "2" | "":
                self.rows.clear()
            case ("h" | "l") as switch, "?1049":
                self.alternate = switch == "h"
            case ("h" | "l") as switch, "?25" | "?12;25":
                self.cursor = switch == "h"
            case None, _ if found[4]:
                self._write(found[4])
            case ("m" | "c" | "t" | "h" | "l") | None, _:  # colours, the shape of the cursor, the title
                return
            case what:
                raise AssertionError(f"not understood: {what}")

    def _write(self, text: str) -> None:
        line = self.rows.get(self._row, "").ljust(self._column - 1)
        self.rows[self._row] = line[: self._column - 1] + text + line[self._column - 1 + len(text) :]
        self._column += len(text)


class Terminal:
    """A program that has a terminal of its own as its controlling one."""

    def __init__(self, command: list[str], width: int = 80, height: int = 24, **environment: str) -> None:
        self.screen = Emulator()
        self.master, self._slave = os.openpty()
        self.resize(width, height)
        self.modes = termios.tcgetattr(self._slave)
        clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            command,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env=clean | {"TERM": "xterm-256color"} | environment,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.close()
        os.close(self._slave)

    def close(self) -> None:
        """The terminal goes away."""
        if self.master >= 0:
            os.close(self.master)
            self.master = -1

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def read(self, timeout_s: float = 0.05) -> None:
        """Let what the program has written reach the screen."""
        if select.select([self.master], [], [], timeout_s)[0]:
            self.screen.feed(os.read(self.master, 65536).decode(errors="replace"))

    def text(self) -> str:
        """What is on the screen."""
        rows = self.screen.rows
        return "\n".join(rows.get(row, "") for row in range(1, max(rows, default=0) + 1))

    def until(self, condition: Callable[[], Any], what: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while not condition():
            self.read()
            assert time.monotonic() < deadline, f"waited for {what}; the screen has:\n{self.text()}"

    def until_shown(self, text: str) -> None:
        self.until(lambda: text in self.text(), repr(text))

    def end(self) -> int:
        """The exit status, when the program has ended and all it wrote was read."""
        self.until(lambda: self.process.poll() is not None, "the end")
        while select.select([self.master], [], [], 0)[0]:
            self.read()
        return self.process.returncode

    def restored(self) -> bool:
        """Whether the terminal is as it was."""
        modes = termios.tcgetattr(self._slave)
        return modes == self.modes and self.screen.cursor and not self.screen.alternate


def program(name: str) -> str:
    """A program of this environment."""
    return str(Path(sys.executable).with_name(name))
