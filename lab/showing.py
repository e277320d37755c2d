"""How a program that shows something in a lab begins and ends, and what the demonstrations have in common."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Generic, TypeVar

from rich.console import Console
from rich.table import Table

from lab.errors import LabError
from lab.network import Lab


@contextlib.contextmanager
def showing(program: str, console: Console) -> Iterator[None]:
    """Ends the program in one sentence where a lab cannot do something, and so that labs are taken down in any case."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # an exception, as SIGINT is
    try:
        yield
    except LabError as error:
        console.print(f"{program}: {error}", style="red", highlight=False, markup=False)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def judge(what: str, faults: list[str], console: Console) -> int:
    """Says how the farm, or whatever it was, misbehaved; the exit status."""
    for fault in faults:
        console.print(f"The {what} misbehaved: {fault}.", style="bold red", highlight=False)
    return 1 if faults else 0


def options(program: str, description: str) -> argparse.ArgumentParser:
    """Those of every demonstration."""
    parser = argparse.ArgumentParser(program, description=description)
    parser.add_argument("--name", default=f"demo-{os.getpid()}", help="the lab's name (default: one of its own)")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    parser.add_argument("--keep", action="store_true", help="leave the lab up and say how to look around")
    return parser


@dataclass
class Outcome(ABC):
    """What was measured; the fields of `--json`."""

    @abstractmethod
    def faults(self) -> list[str]:
        """What is wrong with it, in sentences."""

    @abstractmethod
    def summary(self) -> Table: ...


Place = TypeVar("Place", bound=Lab)
Measured = TypeVar("Measured", bound=Outcome)


class Demonstration(ABC, Generic[Place, Measured]):
    """Scenes in a lab, told on a console while they are played."""

    def __init__(self, lab: Place, console: Console, outcome: Measured) -> None:
        self.lab, self.console, self.outcome = lab, console, outcome

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False)

    @abstractmethod
    def run(self) -> None:
        """Plays the scenes, in order."""

    @abstractmethod
    def look_around(self) -> str:
        """How to, in a lab that stays up."""

    def show(self, wanted: argparse.Namespace, what: str, *, start: bool = True) -> int:
        """Builds the lab and takes it down again; the exit status. what: is shown, a "farm". start: see Lab.up."""
        with showing("demo", self.console):
            self.lab.up(start)
            try:
                self.run()
            finally:
                if not wanted.keep:
                    self.lab.down()
        self.console.print(self.outcome.summary(), highlight=False)
        status = judge(what, self.outcome.faults(), self.console)
        if wanted.keep:
            self.console.print(self.look_around(), highlight=False, markup=False)
        if wanted.json:
            print(json.dumps(asdict(self.outcome)))
        return status
