"""Comparing a pair while it runs: what was planted behind mirrord's back is found, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab.waiting import until
from mirrord.orders import Cut, GoAlone, Hold, Progress, Unlinked, Verified, Verify
from mirrord.volume.verify.records import ANOTHER, CONTENT, EXTRA, LINKS, MISSING
from tests.mirror.volumes import Pair

pytestmark = pytest.mark.needs_root

MIB = 1 << 20
TIME = "modification time"
ACL = "0x0200000001000600ffffffff020004000700000004000400ffffffff10000400ffffffff20000400ffffffff"
"""user::rw-,user:7:r--,group::r--,mask::r--,other::r--"""


def verified(both: Pair) -> Verified:
    since = len(both.first.reports)
    both.first.obey(Verify())
    return both.first.wait(Verified, since)


def behind(both: Pair, *command: str) -> None:
    """On the follower, past its cover, as a disk that rots or somebody with a rescue system would do it."""
    data = both.second.data
    script = f"umount {data} && cd {data} && {' '.join(command)}; code=$?; exit $code"
    subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", script], check=True)


def fill(data: Path) -> None:
    (data / "folder" / "inner").mkdir(parents=True)
    (data / "folder" / "big").write_bytes(os.urandom(5 * MIB))
    (data / "folder" / "inner" / "small").write_text("content")
    (data / "empty").touch()
    for number in range(200):
        (data / "folder" / f"many-{number}").write_text(f"{number}")
    (data / "large").write_bytes(os.urandom(MIB))
    os.link(data / "large", data / "second name")
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
    "an ACL": (f"setfattr -n system.posix_acl_access -v {ACL} empty", {"empty": "extended attributes"}),
    "a target": ("ln -sfn elsewhere link", {"link": "target"}),
    "a device": ("rm null && mknod -m 644 null c 1 5", {"null": "device"}),
    "a type": ("rm pipe && mkdir -m 640 pipe", {"pipe": "type"}),
    "a name too few": ("rm folder/many-77", {"folder/many-77": MISSING}),
    "a name too many": ("touch folder/inner/more", {"folder/inner/more": EXTRA}),
    "a folder too few": ("rm -r folder/inner", {"folder/inner": MISSING}),
    "a size": ("truncate -s 6M folder/big", {"folder/big": "size"}),
    "a link too few": ("cp -p --remove-destination a a2", {"a": LINKS, "a2": LINKS}),
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


@pytest.mark.parametrize("seed", range(int(os.environ.get("VERIFY_SEEDS", "3"))))
def test_live_changes_are_no_differences(filled: Pair, seed: int) -> None:
    """Random operations of several processes; one planted difference among them is found each time."""
    (filled.first.data / "live").mkdir()
    (filled.first.data / "quiet").write_text("content")
    command = [sys.executable, "-m", "tests.posix.exercise", str(filled.first.data / "live"), "--seed", str(seed)]
    exerciser = subprocess.Popen([*command, "--operations", "1000000"], stdout=subprocess.DEVNULL)
    try:
        until(lambda: filled.first.figures()["changes"] > 100, "changes", 20)
        for _ in range(3):
            assert verified(filled) == Verified([], 0)
        behind(filled, "printf C | dd of=quiet bs=1 conv=notrunc,nocreat 2>&1")
        assert verified(filled) == Verified([f"{filled.first.data}/quiet: {CONTENT}, {TIME}"], 1)
        assert exerciser.poll() is None
    finally:
        exerciser.kill()
        exerciser.wait()


def test_what_was_found_is_repaired_by_a_full_resync(filled: Pair) -> None:
    for name in ("a byte", "a mode", "a name too few", "a name too many", "links of another", "a type", "an attribute"):
        behind(filled, PLANTED[name][0])
    assert verified(filled).count > 5
    filled.first.obey(Cut())
    filled.second.obey(Cut())
    filled.first.obey(GoAlone())
    filled.link(2, resync="everything")
    assert verified(filled) == Verified([], 0)


def test_it_ends_when_the_node_is_about_to_hand_over(filled: Pair) -> None:
    filled.second.process.send_signal(signal.SIGSTOP)
    since = len(filled.first.reports)
    filled.first.obey(Verify())
    filled.first.obey(Verify())
    hold = filled.first.order(Hold())
    assert filled.first.wait(Verified, since) == Verified([], 0, "this node is about to serve no more")
    filled.second.process.send_signal(signal.SIGCONT)
    until(lambda: hold in filled.first.done, "the hold", 20)
    assert not filled.first.done[hold].failure
    assert len([each for each in filled.first.reports if isinstance(each, Verified)]) == 1


def test_it_ends_with_the_link(filled: Pair) -> None:
    filled.second.process.send_signal(signal.SIGSTOP)
    since = len(filled.first.reports)
    filled.first.obey(Verify())
    filled.second.kill()
    assert filled.first.wait(Verified, since).failure == "the link has ended"
    filled.first.obey(GoAlone())
    failed = filled.first.order(Verify())
    until(lambda: failed in filled.first.done, "the refusal", 20)
    assert filled.first.done[failed].failure == "there is no peer to compare with"


def test_progress_is_told_to_the_end(filled: Pair) -> None:
    since = len(filled.first.reports)
    verified(filled)
    told = [each for each in filled.first.reports[since:] if isinstance(each, Progress)]
    found = [path.stat() for path in filled.first.data.rglob("*") if path.is_file() and not path.is_symlink()]
    size = sum({status.st_ino: status.st_size for status in found}.values())
    assert [each.done_bytes for each in told] == sorted(each.done_bytes for each in told)
    assert (told[-1].done_bytes, told[-1].total_bytes) == (size, size)
    assert told[-1].sent_bytes < size / 100
