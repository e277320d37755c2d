"""Comparing a pair while it runs: what was planted behind mirrord's back is found, and nothing else."""

from __future__ import annotations

import os
import random
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.waiting import until
from mirrord.orders import Hold, InSync, Unlinked, Verified, Verify, Withdraw
from mirrord.volume.verify_records import ANOTHER, CONTENT, EXTRA, LINKS, MISSING
from tests.mirror.volumes import Pair

pytestmark = pytest.mark.needs_root

MIB = 1 << 20
TIME = "modification time"


def verified(both: Pair) -> Verified:
    since = len(both.first.reports)
    both.first.obey(Verify())
    return both.first.wait(Verified, since)


def behind(both: Pair, *command: str) -> None:
    """On the follower, past its cover, as a disk that rots or somebody with a rescue system would do it."""
    data = both.second.data
    script = f'umount {data} && cd {data} && {" ".join(command)}; code=$?; exit $code'
    subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", script], check=True)


def fill(data: Path) -> None:
    (data / "folder" / "inner").mkdir(parents=True)
    (data / "folder" / "big").write_bytes(os.urandom(5 * MIB))
    (data / "folder" / "inner" / "small").write_text("content")
    (data / "empty").touch()
    for number in range(200):
        (data / "folder" / f"many-{number}").write_text(f"{number}")
    os.link(data / "folder" / "big", data / "second name")
    for name in "abcd":
        (data / name).write_text("the same")
    for name in "ac":
        os.link(data / name, data / f"{name}2")
    os.symlink("nowhere", data / "link")
    os.mkfifo(data / "pipe", 0o640)
    os.mknod(data / "null", 0o020666, os.makedev(1, 3))
    os.setxattr(data / "folder", "user.note", b"kept")
    with open(data / "sparse", "wb") as file:
        file.truncate(64 * MIB)
        os.pwrite(file.fileno(), b"something", 32 * MIB)


@pytest.fixture
def filled(both: Pair) -> Pair:
    both.alone()
    fill(both.first.data)
    both.link()
    return both


def test_a_pair_in_sync_is_equal(filled: Pair) -> None:
    assert verified(filled) == Verified([], 0)


PLANTED = {
    "a byte": ("printf x | dd of=folder/big bs=1 seek=3000000 conv=notrunc 2>&1", {"folder/big": CONTENT}),
    "a byte in a hole": ("printf x | dd of=sparse bs=1 seek=9000000 conv=notrunc 2>&1", {"sparse": CONTENT}),
    "a mode": ("chmod 600 folder/inner", {"folder/inner": "permissions"}),
    "an owner": ("chown -h 7:8 link", {"link": "owner"}),
    "the mode of the root": ("chmod 711 .", {"": "permissions"}),
    "a time": ("touch -m -d @5 empty", {"empty": TIME}),
    "an attribute": ("setfattr -n user.note -v other folder", {"folder": "extended attributes"}),
    "an ACL": ("setfacl -m u:7:rw empty", {"empty": "extended attributes"}),
    "a target": ("ln -sfn elsewhere link", {"link": "target"}),
    "a device": ("rm null && mknod -m 666 null c 1 5", {"null": "device"}),
    "a type": ("rm pipe && mkdir -m 640 pipe", {"pipe": "type"}),
    "a name too few": ("rm folder/many-77", {"folder/many-77": MISSING}),
    "a name too many": ("touch folder/inner/more", {"folder/inner/more": EXTRA}),
    "a folder too few": ("rm -r folder/inner", {"folder/inner": MISSING}),
    "a size": ("truncate -s 6M folder/big", {"folder/big": "size"}),
    "a link too few": ("cp -p --remove-destination a a2", {"a": LINKS, "a2": f"{LINKS}, {ANOTHER}"}),
    "links of another": ("ln -f c a2 && ln -f a c2", {"a2": ANOTHER, "c2": ANOTHER}),
}  # fmt: skip


@pytest.mark.parametrize("planted", PLANTED)
def test_what_differs_is_found(filled: Pair, planted: str) -> None:
    """Times aside, which planting it changes."""
    command, expected = PLANTED[planted]
    behind(filled, command)
    told = verified(filled).differing
    found: dict[str, str] = {}
    for line in told:
        path, words = line.removeprefix(str(filled.first.data)).lstrip("/").rsplit(": ", 1)
        rest = [word for word in words.split(", ") if word != TIME or expected.get(path) == TIME]
        if rest:
            found[path] = ", ".join(rest)
    assert found == expected
    assert not [each for each in filled.second.reports if isinstance(each, Unlinked)]
