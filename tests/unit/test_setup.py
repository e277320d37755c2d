"""What setup writes: units that systemd accepts, and steps that can be repeated and undone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from farmd.setup import files, plan
from farmd.setup.steps import Command, Folder, UnitFile
from farmd.setup.units import CAPABILITIES, rendered

BIN = Path(sys.executable).parent
UNITS = ("farmd@.service", "mirrord@.service", "farm-health.service")


def settings(text: str) -> dict[str, str]:
    lines = (line for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_nothing_wrong(name: str, tmp_path: Path) -> None:
    unit = tmp_path / name.replace("@.", "@web.")
    unit.write_text(rendered(name, BIN))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_units_run_the_commands_that_are_installed() -> None:
    assert f"ExecStart={BIN}/farmd --config /etc/farmd/%i.toml\n" in rendered("farmd@.service", BIN)
    assert f"ExecStart={BIN}/mirrord --config /etc/farmd/%i.toml\n" in rendered("mirrord@.service", BIN)
    assert f"ExecStart={BIN}/farm-health\n" in rendered("farm-health.service", BIN)
    for name in (*UNITS, "commands.conf"):
        assert not re.search("@[A-Z]+@", rendered(name, BIN)), name


def test_the_drop_in_for_commands_lifts_every_restriction() -> None:
    unit = rendered("farmd@.service", BIN)
    restrictions = settings(unit[unit.index("\nCapabilityBoundingSet=") : unit.index("[Install]")])
    assert restrictions["CapabilityBoundingSet"].split() == list(CAPABILITIES)
    lifted = settings(rendered("commands.conf", BIN))
    assert lifted.keys() == restrictions.keys()
    assert set(lifted.values()) == {"no", "", "~"}


def test_the_plan_undoes_what_is_not_asked_for_any_more() -> None:
    with_commands = plan.plan(BIN, with_commands=True)
    without = plan.plan(BIN, with_commands=False)
    assert with_commands.unwanted == ()
    assert set(with_commands.steps) - set(without.steps) == set(without.unwanted)


def test_steps_are_taken_once_repaired_and_undone(tmp_path: Path) -> None:
    folder, unit = Folder(tmp_path / "etc", group="root"), UnitFile(tmp_path / "x.d" / "a.conf", "one\n")
    command = Command(tmp_path / "farmctl", Path(sys.executable))
    wanted = plan.Plan((folder, unit, command), ())

    def outcomes(dry_run: bool = False) -> list[str]:
        return [outcome for _, outcome in plan.apply(wanted, dry_run=dry_run)]

    assert outcomes(dry_run=True) == ["would be created"] * 3
    assert list(tmp_path.iterdir()) == []
    assert outcomes() == ["created"] * 3
    assert outcomes() == ["there already"] * 3
    folder.path.chmod(0o777)
    unit.path.write_text("two\n")
    command.path.unlink()
    command.path.symlink_to("/elsewhere/farmctl")
    assert outcomes() == ["changed", "changed", "created"]
    assert command.path.samefile(sys.executable)
    assert (folder.path.stat().st_mode & 0o777, unit.path.read_text()) == (0o750, "one\n")

    (folder.path / "web.toml").touch()
    assert [outcome for _, outcome in plan.remove(wanted, dry_run=False)] == [
        "removed", "removed", "not empty, so root keeps it"
    ]  # fmt: skip
    assert [path.name for path in tmp_path.rglob("*")] == ["etc", "web.toml"]
    (folder.path / "web.toml").unlink()
    assert [outcome for _, outcome in plan.remove(wanted, dry_run=False)] == ["removed"]
    assert list(tmp_path.iterdir()) == []


def test_a_command_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    command = Command(tmp_path / "farmctl", BIN / "farmctl")
    command.path.write_text("#!/bin/sh\n")
    assert command.is_done()
    assert not command.is_there()


def test_a_file_is_never_seen_half_written_or_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "web.key"
    path.write_text("old")
    modes: list[int] = []
    rename = Path.rename

    def spy(self: Path, target: Path) -> Path:
        assert (path.read_text(), self.read_text()) == ("old", "new")
        modes.append(self.stat().st_mode & 0o777)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", spy)
    mask = os.umask(0)
    try:
        files.write(path, "new", mode=0o600, replace=True)
    finally:
        os.umask(mask)
    assert modes == [0o600]
    assert path.read_text() == "new"
