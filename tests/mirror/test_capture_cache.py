"""What the kernel remembers of a mirrored directory, it does not ask again; what it drops, is dropped here too."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from lab.waiting import until
from tests.mirror.serving import nodes_known, served

FILES = 2000


def walked(directory: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(directory)) + sum(
        os.stat(path).st_size for path in directory.glob("*/*")
    )


def drop_names_and_inodes(mounted: Path) -> None:
    """Of this mount only, as a remount does it; /proc/sys/vm/drop_caches drops those of the whole machine."""
    subprocess.run(["mount", "-i", "-o", "remount", mounted], check=True)


def test_what_the_kernel_drops_is_dropped_here(tmp_path: Path) -> None:
    for number in range(FILES):
        path = tmp_path / f"{number % 20}" / f"{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    with served(tmp_path) as child:
        assert nodes_known(child) == 1
        assert walked(tmp_path) == 2 * FILES
        assert nodes_known(child) >= FILES

        def dropped() -> bool:
            drop_names_and_inodes(tmp_path)
            return nodes_known(child) < 20

        until(dropped, "the kernel to forget")
        assert walked(tmp_path) == 2 * FILES


def test_what_is_known_is_answered_by_the_kernel(tmp_path: Path) -> None:
    for number in range(FILES):
        (tmp_path / f"{number}").write_bytes(b"content")
    with served(tmp_path) as child:
        paths = [tmp_path / f"{number}" for number in range(FILES)]

        def use_all() -> None:
            os.listdir(tmp_path)
            for path in paths:
                os.stat(path)
                descriptor = os.open(path, os.O_RDONLY)  # open() also asks whether it is a terminal
                assert os.read(descriptor, 100) == b"content"
                os.close(descriptor)
            assert not (tmp_path / "none").exists()

        use_all()
        use_all()  # reading has moved atime, for all that the kernel knows
        before = requests(child.pid)
        use_all()
        assert requests(child.pid) - before < 20


def requests(pid: int) -> int:
    """How many reads a process has made: one for each request."""
    fields = Path(f"/proc/{pid}/io").read_text().split()
    return int(fields[fields.index("syscr:") + 1])


def test_a_file_is_used_while_its_directory_changes_hands(tmp_path: Path) -> None:
    """The kernel forgets and looks up again while a file is open, renamed and linked."""
    with served(tmp_path) as child:
        (tmp_path / "d").mkdir()
        with (tmp_path / "d" / "a").open("wb", buffering=0) as file:
            deadline = time.monotonic() + 1
            for number in range(10_000):
                file.write(b"x")
                os.link(tmp_path / "d" / "a", tmp_path / "b")
                os.rename(tmp_path / "b", tmp_path / "d" / "b")
                os.unlink(tmp_path / "d" / "b")
                if number % 50 == 0:
                    drop_names_and_inodes(tmp_path)
                if time.monotonic() > deadline:
                    break
        assert (tmp_path / "d" / "a").read_bytes() == b"x" * (number + 1)
        assert (tmp_path / "d" / "a").stat().st_nlink == 1
        assert nodes_known(child) <= 4
