"""What `farmctl setup` does, step by step, and how it is undone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from farmd.setup.steps import Account, Command, Folder, Step, UnitFile
from farmd.setup.units import rendered

UNITS = Path("/etc/systemd/system")
UNIT_NAMES = ("farmd@.service", "mirrord@.service", "farm-health.service")
COMMANDS = Path("/usr/local/bin")


@dataclass(frozen=True, slots=True)
class Plan:
    """All steps, in their order."""

    steps: tuple[Step, ...]
    unwanted: tuple[Step, ...]
    """Steps that an earlier setup took and this one undoes."""


def plan(folder: Path, *, with_commands: bool) -> Plan:
    """What this machine shall have. `folder` is where our commands are installed."""
    drop_in = UnitFile(UNITS / "farmd@.service.d" / "commands.conf", rendered("commands.conf", folder))
    units = tuple(UnitFile(UNITS / name, rendered(name, folder)) for name in UNIT_NAMES)
    command = Command(COMMANDS / "farmctl", folder / "farmctl")
    steps: tuple[Step, ...] = (Account(), Folder(), *units, *([drop_in] if with_commands else []), command)
    return Plan(steps, () if with_commands else (drop_in,))


def apply(wanted: Plan, *, dry_run: bool) -> Iterator[tuple[Step, str]]:
    """Take the steps, and tell of each what was done, or would be."""
    for step in wanted.steps:
        if step.is_done():
            yield step, "there already"
            continue
        word = "changed" if step.is_there() else "created"
        if not dry_run:
            step.do()
        yield step, f"would be {word}" if dry_run else word
    yield from _undo(wanted.unwanted, dry_run=dry_run)


def remove(wanted: Plan, *, dry_run: bool) -> Iterator[tuple[Step, str]]:
    """Undo the steps, the last one first."""
    yield from _undo((*wanted.unwanted, *reversed(wanted.steps)), dry_run=dry_run)


def _undo(steps: tuple[Step, ...], *, dry_run: bool) -> Iterator[tuple[Step, str]]:
    for step in steps:
        if step.is_there():
            kept = isinstance(step, Folder) and step.is_in_use()
            if not dry_run:
                step.undo()
            yield step, "not empty, so root keeps it" if kept else "would be removed" if dry_run else "removed"
