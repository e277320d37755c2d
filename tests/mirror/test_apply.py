"""The secondary makes exactly what it is told, whatever this node's directory would do to it by itself."""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirrord.volume.files.apply import apply
from mirrord.volume.files.syscalls import keep_capabilities
from mirrord.volume.files.tree import ROOT, Tree, UnknownNode
from mirrord.volume.link import moments
from mirrord.volume.link.records import CHOWN, LENGTH, OWNED, Kind, Made, Record

_PR_SET_SECUREBITS = 28
FILE = 1001
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    made = Tree(0, os.open(tmp_path, os.O_RDONLY))
    keep_capabilities()
    yield made
    ctypes.CDLL(None).prctl(_PR_SET_SECUREBITS, 0, 0, 0, 0)  # what other tests start is to lose them as usual
    made.close()


def do(tree: Tree, kind: Kind, node: int, offset: int = 0, flags: int = 0, payload: bytes = b"") -> None:
    apply([tree], Record(kind, 0, node, offset, flags, payload))


def make(tree: Tree, made: Made, node: int = FILE) -> None:
    do(tree, Kind.MAKE, ROOT, node, 0, made.pack())


def acl(mask: int) -> bytes:
    entries = ((1, 7, -1), (2, 7, 1234), (4, 5, -1), (16, mask, -1), (32, 0, -1))
    packed = (struct.pack("<HHI", tag, bits, who & 0xFFFFFFFF) for tag, bits, who in entries)
    return struct.pack("<I", 2) + b"".join(packed)


@pytest.mark.parametrize("mode", [0o100644, 0o106755, 0o102765, 0o041777, 0o010622, 0o120777, 0o140600])
def test_an_object_becomes_what_it_is_at_the_primary(tree: Tree, tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(0o2775)  # would give its group
    os.chown(tmp_path, 0, 5555)
    target = b"somewhere" if stat.S_ISLNK(mode) else b""
    make(tree, Made(b"a", mode, 1111, 2222, 0, target, (), (5, 10**18 + 7)))
    found = os.lstat(tmp_path / "a")
    assert (found.st_mode, found.st_uid, found.st_gid) == (mode, 1111, 2222)
    assert (found.st_atime_ns, found.st_mtime_ns) == (5, 10**18 + 7)
    if target:
        assert os.readlink(tmp_path / "a") == "somewhere"


def test_an_inherited_acl_is_the_primarys(tree: Tree, tmp_path: Path) -> None:
    os.setxattr(tmp_path, "system.posix_acl_default", acl(7))
    make(tree, Made(b"none", 0o100640, 0, 0), 11)
    make(tree, Made(b"other", 0o100770, 0, 0, xattrs=((b"system.posix_acl_access", acl(7)),)), 12)
    assert os.listxattr(tmp_path / "none") == []
    assert stat.S_IMODE(os.stat(tmp_path / "none").st_mode) == 0o640
    assert os.getxattr(tmp_path / "other", "system.posix_acl_access") == acl(7)
    assert stat.S_IMODE(os.stat(tmp_path / "other").st_mode) == 0o770


def test_a_device_has_its_number(tree: Tree, tmp_path: Path) -> None:
    make(tree, Made(b"a", stat.S_IFCHR | 0o600, 0, 0, os.makedev(1, 70000)))
    assert os.stat(tmp_path / "a").st_rdev == os.makedev(1, 70000)


def test_contents_and_attributes(tree: Tree, tmp_path: Path) -> None:
    make(tree, Made(b"a", 0o100644, 0, 0))
    do(tree, Kind.WRITE, FILE, 100_000, 0, b"content")
    do(tree, Kind.TRUNCATE, FILE, 100_003)
    do(tree, Kind.ALLOCATE, FILE, 1 << 20, 0, LENGTH.pack(4096))
    do(tree, Kind.SETXATTR, FILE, 0, 0, b"user.a\0b\0c")
    do(tree, Kind.SETXATTR, FILE, 0, 0, b"user.b\0")
    do(tree, Kind.REMOVEXATTR, FILE, 0, 0, b"user.b")
    do(tree, Kind.OWNER_AND_MODE, FILE, 0, CHOWN, OWNED.pack(7, 8, 0o6711))
    do(tree, Kind.TIMES, FILE, 0, 0, moments.pack(-1, 10**19))
    found = os.stat(tmp_path / "a")
    assert (tmp_path / "a").read_bytes()[99_999:100_005] == b"\0con\0\0"
    assert (found.st_size, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == ((1 << 20) + 4096, 0o6711, 7, 8)
    assert (found.st_atime_ns, found.st_mtime_ns) == (-1, 10**19)
    assert [(name, os.getxattr(tmp_path / "a", name)) for name in os.listxattr(tmp_path / "a")] == [("user.a", b"b\0c")]


def test_capabilities_go_with_chown_and_stay_with_chmod(tree: Tree, tmp_path: Path) -> None:
    make(tree, Made(b"a", 0o100755, 0, 0))
    os.setxattr(tmp_path / "a", "security.capability", CAPABILITY)
    do(tree, Kind.OWNER_AND_MODE, FILE, 0, 0, OWNED.pack(0, 0, 0o700))
    assert os.listxattr(tmp_path / "a") == ["security.capability"]
    do(tree, Kind.OWNER_AND_MODE, FILE, 0, CHOWN, OWNED.pack(0, 0, 0o700))
    assert os.listxattr(tmp_path / "a") == []


def test_names(tree: Tree, tmp_path: Path) -> None:
    make(tree, Made(b"d", 0o040755, 0, 0), 11)
    make(tree, Made(b"a", 0o100644, 0, 0), 12)
    do(tree, Kind.LINK, 12, 11, 0, b"linked")
    do(tree, Kind.RENAME, ROOT, 11, 0, b"a\0moved")
    assert sorted(os.listdir(tmp_path / "d")) == ["linked", "moved"]
    do(tree, Kind.UNLINK, 11, 0, 0, b"linked")
    do(tree, Kind.WRITE, 12, 0, 0, b"by its id")
    assert (tmp_path / "d" / "moved").read_text() == "by its id"
    do(tree, Kind.UNLINK, 11, 0, 0, b"moved")
    do(tree, Kind.RMDIR, ROOT, 0, 0, b"d")
    assert os.listdir(tmp_path) == []


def test_an_id_can_be_bound_forgotten_and_used_again(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(UnknownNode):
        do(tree, Kind.WRITE, FILE, 0, 0, b"x")
    do(tree, Kind.BIND, ROOT, FILE, 0, b"a")
    do(tree, Kind.WRITE, FILE, 0, 0, b"x")
    do(tree, Kind.FORGET, FILE)
    with pytest.raises(UnknownNode):
        do(tree, Kind.TRUNCATE, FILE)
    make(tree, Made(b"b", 0o100644, 0, 0))
    do(tree, Kind.WRITE, FILE, 0, 0, b"y")
    assert [(tmp_path / name).read_text() for name in "ab"] == ["x", "y"]


def test_what_cannot_be_done_is_raised(tree: Tree) -> None:
    with pytest.raises(FileNotFoundError):
        do(tree, Kind.UNLINK, ROOT, 0, 0, b"none")
    make(tree, Made(b"a", 0o100644, 0, 0))
    with pytest.raises(FileExistsError):
        make(tree, Made(b"a", 0o100644, 0, 0))
    with pytest.raises(ValueError, match="changes nothing"):
        do(tree, Kind.FSYNC, FILE)
    with pytest.raises(IndexError):
        apply([tree], Record(Kind.WRITE, 5, FILE))
