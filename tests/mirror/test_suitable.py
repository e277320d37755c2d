"""Directories that cannot be mirrored are refused with a sentence each, and nothing is changed by it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from farmd.errors import MachineError
from mirrord.volume.mounting import fuse_mount, mounts, suitable
from tests.mirror.serving import served


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    made = (tmp_path / "with space").resolve()
    made.mkdir()
    yield made
    fuse_mount.uncover(str(made))


def refusal(*directories: Path) -> str:
    with pytest.raises(MachineError) as raised:
        suitable.check([str(directory) for directory in directories])
    return str(raised.value)


def test_an_ordinary_directory_is_accepted_and_nothing_is_left_in_it(folder: Path) -> None:
    before = mounts.mounts()
    suitable.check([str(folder)])
    assert os.listdir(folder) == []
    assert mounts.mounts() == before


def test_what_is_missing_or_no_directory(folder: Path) -> None:
    (folder / "file").touch()
    (folder / "link").symlink_to("real")
    (folder / "real").mkdir()
    assert refusal(folder / "none") == f"{folder}/none does not exist"
    assert refusal(folder / "file") == f"{folder}/file is not a directory"
    assert f"{folder}/link is a symbolic link" in refusal(folder / "link")
    (folder / "real" / "in").mkdir()
    assert f"{folder}/link is a symbolic link" in refusal(folder / "link" / "in")


def test_directories_inside_one_another(folder: Path) -> None:
    (folder / "in").mkdir()
    (folder / "input").mkdir()
    suitable.check([str(folder / "in"), str(folder / "input")])
    assert f"{folder}/in is inside {folder}" in refusal(folder / "in", folder)
    assert "is inside" in refusal(folder, folder)


def test_a_mount_inside(folder: Path) -> None:
    (folder / "in").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", folder / "in"], check=True)
    try:
        assert f"{folder}/in is mounted inside {folder}" in refusal(folder)
    finally:
        subprocess.run(["umount", folder / "in"], check=True)


def test_a_file_system_without_what_is_needed() -> None:
    assert "/sys/class is on a file system" in refusal(Path("/sys/class"))


def test_a_directory_that_is_served_already(folder: Path) -> None:
    with served(folder):
        assert refusal(folder) == f"{folder} is being mirrored already"
    suitable.check([str(folder)])


def test_what_a_killed_run_left_is_looked_through_and_can_be_removed(folder: Path) -> None:
    (folder / "file").write_text("content")
    fuse_mount.cover(str(folder))
    with served(folder) as child:
        child.kill()
        child.wait()
        with pytest.raises(OSError, match="not connected"):
            os.listdir(folder)
        suitable.check([str(folder)])
        behind = fuse_mount.open_behind(str(folder))
        os.close(os.open("more", os.O_CREAT, dir_fd=behind))
        os.close(behind)
    fuse_mount.uncover(str(folder))
    assert sorted(os.listdir(folder)) == ["file", "more"]
    assert mounts.at(str(folder), mounts.mounts()) == []


def test_what_is_left_over_a_mounted_file_system_is_removed_to_reach_it(folder: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "none", folder], check=True)
    try:
        (folder / "file").touch()
        fuse_mount.cover(str(folder))
        fuse_mount.cover(str(folder))
        assert len(mounts.at(str(folder), mounts.mounts())) == 2
        behind = fuse_mount.open_behind(str(folder))
        assert os.listdir(behind) == ["file"]
        os.close(behind)
        (folder / "writable").touch()
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_cover_lets_read_but_not_write_and_goes(folder: Path) -> None:
    (folder / "file").write_text("content")
    behind = fuse_mount.open_root(str(folder))
    fuse_mount.cover(str(folder))
    assert (folder / "file").read_text() == "content"
    file, new = folder / "file", folder / "new"
    for change in (new.touch, file.unlink, file.touch):
        with pytest.raises(OSError, match="Read-only"):
            change()
    os.close(os.open("behind", os.O_CREAT, dir_fd=behind))
    os.close(behind)
    assert (folder / "behind").exists()
    fuse_mount.uncover(str(folder))
    new.touch()


def test_busy_mounts_are_told_and_taken_from_the_path(folder: Path) -> None:
    with served(folder):
        (folder / "file").write_text("content")
        with (folder / "file").open() as held:
            assert fuse_mount.is_busy(str(folder))
            fuse_mount.withdraw(str(folder))
            assert held.read() == "content"
            assert mounts.at(str(folder), mounts.mounts()) == []
