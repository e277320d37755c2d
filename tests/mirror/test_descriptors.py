"""A volume that may have few files open: what is beyond that is an error of the application's, and nothing else's."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.waiting import until
from mirrord.orders import GoAlone
from tests.mirror.volumes import Pair, equal, pair

pytestmark = pytest.mark.needs_root

_LIMIT = 400


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Pair]:
    with pair(tmp_path, command=["prlimit", f"--nofile={_LIMIT}:{_LIMIT}"]) as both:
        both.alone()
        both.link()
        yield both


def unlinked(path: Path) -> bool:
    with contextlib.suppress(OSError):
        path.unlink()
    return not path.exists()


def test_many_files_are_read_with_few_descriptors(limited: Pair) -> None:
    data = limited.first.data
    for number in range(_LIMIT + 50):
        (data / str(number)).write_bytes(b"x")
    assert all((data / str(number)).read_bytes() == b"x" for number in range(_LIMIT + 50))
    until(equal(data, limited.second.data), "both to be equal")


def test_too_many_open_files_without_a_name_are_refused_and_the_volume_lives(limited: Pair) -> None:
    data = limited.first.data
    with contextlib.ExitStack() as held:

        def open_and_unlink(number: int) -> None:
            path = data / f"gone{number}"
            held.enter_context(path.open("wb+", buffering=0)).write(b"%d" % number)
            path.unlink()

        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
            list(map(open_and_unlink, range(_LIMIT)))
        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
            os.open(data, os.O_TMPFILE | os.O_RDWR)
        (data / "other").write_bytes(b"goes on")
        (data / "folder").mkdir()
        until(equal(data, limited.second.data), "both to be equal")
        limited.first.obey(GoAlone())
        limited.link(2)  # which takes descriptors
    (left,) = data.glob("gone*")
    until(lambda: unlinked(left), "the kernel to forget what was closed")
    until(equal(data, limited.second.data), "both to be equal")
