"""What the commands `farmd` and `mirrord` share: their options, and that one of each name runs, as root."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from farmd.errors import FarmError, MachineError
from farmd.kit import log
from farmd.kit.lock import hold_farm_lock


def options(program: str, what: str, description: str) -> argparse.ArgumentParser:
    """what: this is a node of, such as "farm"."""
    parser = argparse.ArgumentParser(program, description=description)
    parser.add_argument("--config", type=Path, required=True, help=f"the {what}'s TOML file")
    parser.add_argument("--node", help="which of its nodes this is (default: the one with this machine's addresses)")
    parser.add_argument("--log-level", choices=log.LEVELS, default="info")
    return parser


@contextlib.contextmanager
def in_sentences(program: str) -> Iterator[None]:
    """A FarmError ends the program: its sentence on the standard error, exit status 1."""
    try:
        yield
    except FarmError as error:
        sys.exit(f"{program}: {error}")


@contextlib.contextmanager
def sole(program: str, name: str, why_root: str) -> Iterator[None]:
    """As the only daemon of this farm or mirror on this machine. MachineError if there is one already, or this is not
    root, and why that is needed.
    """
    if os.geteuid() != 0:
        raise MachineError(f"{program} must run as root: it {why_root}")
    lock = hold_farm_lock(name)
    try:
        yield
    finally:
        lock.release()
