"""Runs the exerciser: exit status 0 when no process met an error that it must not meet.

python -m tests.posix.exercise DIRECTORY [--seed 1] [--processes 4] [--operations 3000]
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tests.posix.exerciser import Exerciser
from tests.posix.operations import WEIGHTS


def main() -> None:
    """Entry of `python -m tests.posix.exercise`: exit status 0 when no process met an error that it must not meet."""
    parser = argparse.ArgumentParser(prog="tests.posix.exercise", description="Random file operations from a seed.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--operations", type=int, default=3000, help="of each; one process prints their outcomes")
    arguments = parser.parse_args()
    if arguments.processes == 1:
        for outcome in Exerciser(arguments.directory, arguments.seed, WEIGHTS).run(arguments.operations):
            print(outcome)
        return
    children = []
    for process in range(arguments.processes):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                seed = f"{arguments.seed}.{process}"
                Exerciser(arguments.directory, seed, WEIGHTS, f"own-{process}").run(arguments.operations)
                status = 0
            except OSError:
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(status)
        children.append(child)
    ends = [os.waitpid(child, 0)[1] for child in children]
    sys.exit(any(ends))


if __name__ == "__main__":
    main()
