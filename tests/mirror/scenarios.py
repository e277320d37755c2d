"""Small programs against the file system, to be run in two directories: what they see must be the same in both.

`python -m tests.mirror.scenarios DIRECTORY UID` runs all of them as that user, each in a new directory of its own, and
prints {name: what it saw} as JSON. Inode numbers and points in time are not seen; that times move is.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import socket
import stat
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

from mirrord.volume.files import syscalls

Scenario = Callable[[], list[Any]]
SCENARIOS: dict[str, Scenario] = {}

USER, GROUP, OTHER_GROUP = 65534, 65534, 12345


def is_root() -> bool:
    return os.geteuid() == 0


def scenario(function: Scenario) -> Scenario:
    SCENARIOS[function.__name__] = function
    return function


def tried(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What a call returns, or its errno's name."""
    try:
        result = call(*arguments, **options)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return result.decode("latin-1") if isinstance(result, bytes) else result


def put(name: str | bytes, content: bytes = b"content", mode: int = 0o644) -> None:
    descriptor = os.open(name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode)
    os.write(descriptor, content)
    os.close(descriptor)


def got(name: str | bytes) -> str:
    with open(name, "rb") as file:
        return file.read().decode("latin-1")


def seen(name: str | bytes) -> list[Any]:
    """All that is the same in every directory."""
    found = os.lstat(name)
    rdev = found.st_rdev if stat.S_ISBLK(found.st_mode) or stat.S_ISCHR(found.st_mode) else 0
    size = 0 if stat.S_ISDIR(found.st_mode) else found.st_size
    return [oct(found.st_mode), found.st_nlink, found.st_uid, found.st_gid, size, found.st_blksize, rdev]


def moves(name: str, change: Callable[[], Any]) -> list[Any]:
    """Which of mtime and ctime a change moves."""
    before = os.lstat(name)
    time.sleep(0.012)
    outcome = tried(change)
    after = os.lstat(name)
    return [
        outcome if isinstance(outcome, str) else "done",
        after.st_mtime_ns > before.st_mtime_ns,
        after.st_ctime_ns > before.st_ctime_ns,
    ]


def link_descriptor(descriptor: int, name: str) -> None:
    """As open(2) tells for O_TMPFILE; a folder's descriptor makes Python use linkat(2)."""
    os.link(f"/proc/self/fd/{descriptor}", name, dst_dir_fd=os.open(".", os.O_RDONLY), follow_symlinks=True)


# -- names ------------------------------------------------------------------------------------------------------------


@scenario
def making_and_removing() -> list[Any]:
    put("a")
    os.mkdir("d", 0o750)
    return [
        seen("a"),
        seen("d"),
        tried(os.mkdir, "d"),
        tried(os.mkdir, "a"),
        tried(os.rmdir, "a"),
        tried(os.unlink, "d"),
        tried(os.open, "a", os.O_CREAT | os.O_EXCL | os.O_WRONLY),
        tried(os.open, "d", os.O_WRONLY),
        tried(os.open, "a/b", os.O_RDONLY),
        tried(os.open, "none", os.O_RDONLY),
        tried(os.rmdir, "."),
        tried(os.rmdir, "d/.."),
        tried(os.rmdir, "d"),
        tried(os.stat, "d"),
        tried(os.unlink, "a"),
        sorted(os.listdir(".")),
        seen("."),
    ]


@scenario
def names_of_any_bytes() -> list[Any]:
    names = [bytes([byte]) for byte in range(1, 256) if byte not in b"/."] + [b"x" * 255, "ä€".encode(), b"a\nb"]
    for name in names:
        put(name, name)
    return [
        sorted(name.hex() for name in os.listdir(b".")) == sorted(name.hex() for name in names),
        all(got(name).encode("latin-1") == name for name in names),
        tried(put, b"x" * 256),
        tried(os.mkdir, b"x" * 256),
        tried(os.stat, b"x" * 256),
        tried(os.rename, b"ab", b"x" * 256),
        tried(os.symlink, b"t" * 4095, b"long"),
        tried(os.symlink, b"t" * 5000, b"l2"),
        tried(os.symlink, b"t" * 4090, b"l3"),
        tried(got, b"./" * 2046 + b"a"),
        tried(got, b"./" * 2100 + b"a"),
    ]


@scenario
def symbolic_links() -> list[Any]:
    os.symlink("target", "s")
    os.symlink("loop", "loop")
    os.symlink("x" * 100, "long")
    return [
        seen("s"),
        os.readlink("s"),
        seen("long"),
        tried(os.stat, "s"),
        tried(os.open, "loop", os.O_RDONLY),
        tried(put, "s"),
        got("target"),
        tried(os.readlink, "target"),
        tried(os.symlink, "x", "s"),
        tried(os.open, "s", os.O_RDONLY | os.O_NOFOLLOW),
        tried(os.chmod, "s", 0o600),
        seen("target"),
        tried(os.utime, "s", ns=(5, 6), follow_symlinks=False),
        os.lstat("s").st_mtime_ns,
        os.lstat("s").st_atime_ns,
        tried(os.chown, "s", -1, -1, follow_symlinks=False),
        tried(os.setxattr, "s", "user.a", b"b", 0, follow_symlinks=False),
        tried(os.listxattr, "s", follow_symlinks=False),
        tried(os.rename, "s", "s2"),
        os.readlink("s2"),
        tried(os.link, "s2", "s3", follow_symlinks=False),
        seen("s3"),
    ]


@scenario
def hard_links() -> list[Any]:
    put("a", b"one")
    os.mkdir("d")
    os.link("a", "d/b")
    first = [seen("a"), seen("d/b"), os.stat("a").st_ino == os.stat("d/b").st_ino]
    put("d/b", b"two!")
    second = [got("a"), tried(os.link, "a", "d/b"), tried(os.link, "d", "e"), tried(os.link, "none", "e")]
    third = [moves("a", lambda: os.link("a", "c")), moves("a", lambda: os.unlink("c")), tried(os.rename, "a", "d/b")]
    os.unlink("a")
    return [first, second, third, seen("d/b"), got("d/b"), os.listdir(".")]


@scenario
def renaming() -> list[Any]:
    put("a", b"a")
    put("b", b"b")
    for name in ("d", "e", "d/inner"):
        os.mkdir(name)
    return [
        tried(os.rename, "a", "b"),
        got("b"),
        tried(os.stat, "a"),
        tried(os.rename, "b", "d"),
        tried(os.rename, "d", "b"),
        tried(os.rename, "e", "d"),
        tried(os.rename, "d", "e"),
        os.listdir("e"),
        tried(os.rename, "e", "e/inner/x"),
        tried(os.rename, "none", "x"),
        tried(os.rename, "b", "e/inner/c"),
        seen("e"),
        seen("e/inner"),
        tried(os.rename, "e/inner", "up"),
        seen("e"),
        seen("."),
        os.listdir("up"),
        os.listdir("up/.."),
        tried(os.rename, ".", "x"),
        tried(os.rename, "up/c", "up/c"),
        tried(os.rename, "up/c/", "x"),
    ]


def rename2(old: str, new: str, flags: int) -> Any:
    return tried(syscalls.rename, syscalls.AT_FDCWD, old.encode(), syscalls.AT_FDCWD, new.encode(), flags)


@scenario
def renaming_with_flags() -> list[Any]:
    put("a", b"a")
    put("b", b"bb")
    os.mkdir("d")
    put("d/x", b"x")
    before = os.stat("a").st_ino
    return [
        rename2("a", "b", 1),
        rename2("a", "b", 2),
        got("a"),
        got("b"),
        os.stat("b").st_ino == before,
        rename2("a", "d", 2),
        sorted(os.listdir("a")),
        got("d"),
        seen("."),
        rename2("a", "none", 2),
        rename2("a", "c", 1),
        got("c/x"),
        rename2("d", "w", 4) if is_root() else "",
        rename2("c", "b", 3),
        seen("d") if is_root() else "",
        sorted(os.listdir(".")),
        rename2("c", "c/x", 2),
    ]


@scenario
def renaming_onto_what_is_open() -> list[Any]:
    put("a", b"new")
    put("b", b"old")
    held = os.open("b", os.O_RDWR)
    os.rename("a", "b")
    first = [got("b"), os.pread(held, 10, 0).decode(), os.fstat(held).st_nlink]
    os.pwrite(held, b"OLDER", 0)
    os.ftruncate(held, 100)
    os.fchmod(held, 0o600)
    os.fsync(held)
    second = [os.pread(held, 5, 0).decode(), os.fstat(held).st_size, oct(os.fstat(held).st_mode), got("b"), seen("b")]
    os.close(held)
    return [first, second]


@scenario
def unlinked_but_open() -> list[Any]:
    descriptor = os.open("a", os.O_CREAT | os.O_RDWR)
    os.write(descriptor, b"hello")
    os.link("a", "b")
    os.unlink("a")
    first = os.fstat(descriptor).st_nlink
    os.unlink("b")
    os.pwrite(descriptor, b"J", 0)
    os.setxattr(descriptor, "user.x", b"y")
    found = os.fstat(descriptor)
    again = tried(os.stat, f"/proc/self/fd/{descriptor}").st_size
    link = tried(link_descriptor, descriptor, "c")
    reopened = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY)
    return [
        first,
        found.st_nlink,
        found.st_size,
        os.pread(descriptor, 9, 0).decode(),
        again,
        link,
        os.read(reopened, 9).decode(),
        os.getxattr(descriptor, "user.x").decode(),
        os.listdir("."),
    ]


@scenario
def removed_directory_that_is_open() -> list[Any]:
    os.mkdir("d")
    descriptor = os.open("d", os.O_RDONLY)
    os.rmdir("d")
    return [
        os.listdir(descriptor),
        os.fstat(descriptor).st_nlink,
        tried(os.mkdir, "x", dir_fd=descriptor),
        tried(os.open, "x", os.O_CREAT | os.O_RDWR, dir_fd=descriptor),
        tried(os.stat, ".", dir_fd=descriptor).st_nlink,
    ]


@scenario
def a_file_without_a_name_gets_one() -> list[Any]:
    descriptor = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o640)
    os.write(descriptor, b"x" * 3_000_000)
    os.ftruncate(descriptor, 5_000_000)
    before = [os.fstat(descriptor).st_nlink, oct(os.fstat(descriptor).st_mode), os.listdir(".")]
    link_descriptor(descriptor, "named")
    os.pwrite(descriptor, b"end", 4_999_000)
    after = [seen("named"), len(got("named")), os.fstat(descriptor).st_nlink]
    never = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o640)
    return [before, after, tried(link_descriptor, never, "n2")]


@scenario
def special_files() -> list[Any]:
    os.mkfifo("fifo", 0o622)
    results: list[Any] = [seen("fifo")]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("socket")
    results.append(seen("socket"))
    listener.listen()
    caller = socket.socket(socket.AF_UNIX)
    results.append(tried(caller.connect, "socket"))
    results.append(tried(os.mknod, "null", stat.S_IFCHR | 0o666, os.makedev(1, 3)))
    results.append(tried(os.mknod, "block", stat.S_IFBLK | 0o600, os.makedev(259, 70000)))
    if is_root():
        results += [seen("null"), seen("block"), os.read(os.open("null", os.O_RDWR), 1).decode()]
    reader = os.open("fifo", os.O_RDONLY | os.O_NONBLOCK)
    os.write(os.open("fifo", os.O_WRONLY), b"through")
    return [*results, os.read(reader, 10).decode(), tried(os.open, "socket", os.O_RDONLY)]


@scenario
def reading_a_directory_that_changes() -> list[Any]:
    for number in range(3000):
        os.close(os.open(f"{number:05}" + "n" * (number % 200), os.O_CREAT))
    found = []
    with os.scandir(".") as entries:
        for index, entry in enumerate(entries):
            found.append(entry.name)
            if index % 2:
                os.unlink(entry.name)
    left = os.listdir(".")
    return [len(found), len(set(found)), len(left), len(set(left)), all(os.path.exists(name) for name in left)]


# -- attributes -------------------------------------------------------------------------------------------------------


@scenario
def times_that_move() -> list[Any]:
    put("a")
    os.mkdir("d")
    descriptor = os.open("a", os.O_RDWR)
    return [
        moves("a", lambda: os.write(descriptor, b"x")),
        moves("a", lambda: os.write(descriptor, b"")),
        moves("a", lambda: os.ftruncate(descriptor, 3)),
        moves("a", lambda: os.ftruncate(descriptor, 3)),
        moves("a", lambda: os.truncate("a", 3)),
        moves("a", lambda: os.chmod("a", 0o600)),
        moves("a", lambda: os.chown("a", -1, os.getegid())),
        moves("a", lambda: os.setxattr("a", "user.x", b"")),
        moves("a", lambda: os.removexattr("a", "user.x")),
        moves("a", lambda: os.close(os.open("a", os.O_RDONLY))),
        moves("a", lambda: os.close(os.open("a", os.O_WRONLY | os.O_TRUNC))),
        moves("a", lambda: os.close(os.open("a", os.O_WRONLY | os.O_TRUNC))),
        moves("a", lambda: os.utime("a", ns=(7, 8))),
        os.stat("a").st_mtime_ns,
        os.stat("a").st_atime_ns,
        moves("a", lambda: os.posix_fallocate(descriptor, 0, 100)),
        moves(".", lambda: put("n")),
        moves(".", lambda: put("n")),
        moves(".", lambda: os.rename("n", "m")),
        moves(".", lambda: os.mkdir("e")),
        moves(".", lambda: os.rmdir("e")),
        moves(".", lambda: os.link("m", "l")),
        moves(".", lambda: os.unlink("l")),
        moves(".", lambda: os.symlink("m", "l")),
        moves("d", lambda: os.rename("m", "d/m")),
        moves("d", lambda: os.chmod("d/m", 0o600)),
        moves("d", lambda: put("d/m")),
        moves(".", lambda: os.mkfifo("f")),
        moves(".", lambda: os.mkdir("d")),
    ]


@scenario
def times_of_what_names_are_changed() -> list[Any]:
    for name in ("a", "b", "c", "x", "y", "over"):
        put(name)
    for name in ("d", "e", "f"):
        os.mkdir(name)
    os.symlink("a", "s")
    held = os.open("over", os.O_RDONLY)

    def change_time(descriptor: int, change: Callable[[], Any]) -> list[bool]:
        before = os.fstat(descriptor)
        time.sleep(0.012)
        change()
        after = os.fstat(descriptor)
        return [after.st_mtime_ns > before.st_mtime_ns, after.st_ctime_ns > before.st_ctime_ns]

    def watched(name: str) -> int:
        return os.open(name, os.O_PATH | os.O_NOFOLLOW)

    return [
        change_time(watched("a"), lambda: os.rename("a", "a2")),
        change_time(watched("d"), lambda: os.rename("d", "d2")),
        change_time(watched("s"), lambda: os.rename("s", "s2")),
        change_time(watched("e"), lambda: os.rename("e", "d2/e")),
        change_time(watched("d2"), lambda: os.rename("d2/e", "e")),
        change_time(watched("x"), lambda: rename2("x", "y", 2)),
        change_time(watched("y"), lambda: rename2("x", "y", 2)),
        change_time(watched("d2"), lambda: rename2("d2", "e", 2)),
        change_time(held, lambda: os.rename("b", "over")),
        change_time(held, lambda: os.fchmod(held, 0o600)),
        change_time(watched("c"), lambda: os.link("c", "c2")),
        change_time(watched("c"), lambda: os.rename("c2", "c3")),
        change_time(watched("c"), lambda: os.unlink("c3")),
        change_time(watched("c"), lambda: os.unlink("c")),
        change_time(watched("f"), lambda: os.rmdir("f")),
        change_time(watched("s2"), lambda: os.chown("s2", -1, os.getegid(), follow_symlinks=False)),
    ]


@scenario
def setting_times() -> list[Any]:
    put("a")
    results: list[Any] = []
    for atime, mtime in ((0, 0), (-5, -1_500_000_001), (2**33 * 10**9, 10**9 + 1), (1, 4_294_967_296 * 10**9)):
        results += [tried(os.utime, "a", ns=(atime, mtime)), os.stat("a").st_atime_ns, os.stat("a").st_mtime_ns]
    for atime_ns, mtime_ns in ((syscalls.UTIME_OMIT, 77), (55, syscalls.UTIME_OMIT)):
        descriptor = os.open("a", os.O_PATH)
        syscalls.set_times(descriptor, (3, atime_ns), (4, mtime_ns))
        results += [os.stat("a").st_atime_ns, os.stat("a").st_mtime_ns]
    os.utime("a")
    now = time.time_ns()
    results.append(abs(os.stat("a").st_mtime_ns - now) < 10**9)
    return results


@scenario
def birth_time() -> list[Any]:
    put("a")
    time.sleep(0.02)
    put("a", b"other")
    found = syscalls.statx(os.open("a", os.O_PATH))
    return [bool(found.mask & 0x800), (found.btime_s, found.btime_ns) < (found.mtime_s, found.mtime_ns)]


@scenario
def modes_and_umask() -> list[Any]:
    results: list[Any] = []
    for mask in (0, 0o022, 0o077, 0o777):
        old = os.umask(mask)
        os.mkdir(f"d{mask}", 0o7777)
        os.close(os.open(f"f{mask}", os.O_CREAT | os.O_WRONLY, 0o7777))
        os.mkfifo(f"p{mask}", 0o666)
        results += [seen(f"d{mask}"), seen(f"f{mask}"), seen(f"p{mask}")]
        os.umask(old)
    for mode in (0o7777, 0o1644, 0o2755, 0o4711, 0o2644, 0):
        results += [tried(os.chmod, "f0", mode), seen("f0"), tried(os.chmod, "d0", mode), seen("d0")]
    return results


@scenario
def clearing_suid_and_sgid() -> list[Any]:
    results: list[Any] = []
    for mode in (0o6777, 0o6766, 0o4755, 0o2755, 0o2745):
        for change in (
            lambda d: os.write(d, b"x"),
            lambda d: os.pwrite(d, b"x", 5000),
            lambda d: os.ftruncate(d, 1),
            lambda d: os.ftruncate(d, 0),
            lambda d: os.truncate("f", 2),
            lambda d: os.posix_fallocate(d, 0, 9000),
            lambda d: os.close(os.open("f", os.O_WRONLY | os.O_TRUNC)),
            lambda d: os.fchown(d, -1, os.getegid()),
            lambda d: os.fchown(d, os.geteuid(), -1),
            lambda d: os.fchown(d, -1, -1),
            lambda d: os.setxattr(d, "user.a", b"b"),
            lambda d: os.utime("f"),
            lambda d: os.rename("f", "g"),
            lambda d: os.link("f", "h"),
        ):
            descriptor = os.open("f", os.O_CREAT | os.O_RDWR)
            os.fchmod(descriptor, mode)
            results += [tried(change, descriptor), oct(os.fstat(descriptor).st_mode)]
            os.close(descriptor)
            for name in os.listdir("."):
                os.unlink(name)
    return results


@scenario
def directories_that_give_their_group() -> list[Any]:
    os.mkdir("d")
    if is_root():
        os.chown("d", 0, OTHER_GROUP)
    os.chmod("d", 0o2777)
    put("d/f")
    os.mkdir("d/e")
    os.mkfifo("d/p")
    os.symlink("x", "d/s")
    os.close(os.open("d/x", os.O_CREAT | os.O_WRONLY, 0o2775))
    put("outside")
    os.rename("outside", "d/moved")
    descriptor = os.open("d", os.O_TMPFILE | os.O_WRONLY, 0o666)
    return [seen(f"d/{name}") for name in ("", "f", "e", "p", "s", "x", "moved")] + [os.fstat(descriptor).st_gid]


@scenario
def owners() -> list[Any]:
    put("a", mode=0o6755)
    os.chmod("a", 0o6755)
    os.mkdir("d")
    os.chmod("d", 0o2755)
    return [
        tried(os.chown, "a", USER, GROUP),
        seen("a"),
        tried(os.chown, "a", 0, 0),
        seen("a"),
        tried(os.chown, "a", 77, -1),
        seen("a"),
        tried(os.chown, "d", USER, OTHER_GROUP),
        seen("d"),
        tried(os.chown, "none", 0, 0),
    ]


@scenario
def capabilities() -> list[Any]:
    put("a")
    value = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
    results: list[Any] = [tried(os.setxattr, "a", "security.capability", value)]
    for change in (
        lambda: put("a"),
        lambda: os.chown("a", -1, -1),
        lambda: os.chown("a", os.geteuid(), -1),
        lambda: os.truncate("a", 0),
        lambda: os.chmod("a", 0o700),
    ):
        tried(os.setxattr, "a", "security.capability", value)
        results += [tried(change), tried(os.getxattr, "a", "security.capability"), os.listxattr("a")]
    return results


@scenario
def extended_attributes() -> list[Any]:
    put("a")
    os.mkdir("d")
    big = b"v" * 3000
    results = [
        tried(os.setxattr, "a", "user.x", b"1", os.XATTR_REPLACE),
        tried(os.setxattr, "a", "user.x", b"1", os.XATTR_CREATE),
        tried(os.setxattr, "a", "user.x", b"2", os.XATTR_CREATE),
        tried(os.setxattr, "a", "user.big", big),
        tried(os.setxattr, "a", "user.zero", b""),
        tried(os.getxattr, "a", "user.zero"),
        tried(os.getxattr, "a", "user.x"),
        len(tried(os.getxattr, "a", "user.big")),
        sorted(os.listxattr("a")),
        tried(os.removexattr, "a", "user.none"),
        tried(os.removexattr, "a", "user.x"),
        tried(os.getxattr, "a", "user.x"),
        tried(os.setxattr, "a", "nope.x", b""),
        tried(os.setxattr, "a", "trusted.t", b"t"),
        sorted(os.listxattr("a")),
        tried(os.setxattr, "a", "user." + "n" * 250, b"x"),
        tried(os.setxattr, "a", "user." + "n" * 251, b"x"),
        tried(os.setxattr, "a", "user.huge", b"h" * 65536),
        tried(os.setxattr, "a", "user.huger", b"h" * 65537),
        tried(os.setxattr, "d", "user.d", b"x\0y\xff"),
        tried(os.getxattr, "d", "user.d"),
        tried(os.setxattr, "a", "security.made_up", b"s"),
        tried(os.getxattr, "a", "security.made_up"),
    ]
    os.chmod("a", 0o444)
    os.mkfifo("f")
    return [*results, tried(os.setxattr, "a", "user.ro", b"x"), tried(os.setxattr, "f", "user.f", b"x")]


def acl(*entries: tuple[int, int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", tag, rights, who & 0xFFFFFFFF) for tag, rights, who in entries
    )


@scenario
def access_control_lists() -> list[Any]:
    put("a")
    listed = acl((1, 6, -1), (2, 7, 1234), (4, 4, -1), (16, 7, -1), (32, 0, -1))
    inherited = acl((1, 7, -1), (2, 5, 1234), (4, 5, -1), (16, 7, -1), (32, 0, -1))
    plain = acl((1, 6, -1), (4, 4, -1), (32, 0, -1))
    results = [tried(os.setxattr, "a", "system.posix_acl_access", listed), seen("a"), os.listxattr("a")]
    results += [tried(os.chmod, "a", 0o741), tried(os.getxattr, "a", "system.posix_acl_access"), seen("a")]
    results += [tried(os.setxattr, "a", "system.posix_acl_access", plain), seen("a"), os.listxattr("a")]
    os.mkdir("d")
    results += [tried(os.setxattr, "d", "system.posix_acl_default", inherited), seen("d"), os.listxattr("d")]
    old = os.umask(0o077)
    put("d/f", mode=0o666)
    os.mkdir("d/e", 0o777)
    os.mkfifo("d/p", 0o640)
    os.symlink("x", "d/s")
    put("outside", mode=0o666)
    os.umask(old)
    for name in ("d/f", "d/e", "d/p", "outside"):
        results += [seen(name), os.listxattr(name), *(tried(os.getxattr, name, key) for key in os.listxattr(name))]
    results += [
        tried(os.setxattr, "a", "system.posix_acl_access", b"junk"),
        tried(os.setxattr, "a", "system.posix_acl_default", inherited),
    ]
    results += [tried(os.removexattr, "d", "system.posix_acl_default"), os.listxattr("d")]
    os.chmod("a", 0o2775)
    results += [
        tried(os.setxattr, "a", "system.posix_acl_access", listed),
        seen("a"),
        tried(os.removexattr, "a", "system.posix_acl_access"),
        seen("a"),
    ]
    return results


@scenario
def sticky_directories() -> list[Any]:
    """Made by root for all users first: see `prepare`."""
    shared = "../shared"
    return [
        tried(os.unlink, f"{shared}/others"),
        tried(os.rename, f"{shared}/others", f"{shared}/x"),
        tried(put, f"{shared}/others"),
        tried(put, f"{shared}/mine{os.geteuid()}"),
        tried(os.rename, f"{shared}/mine{os.geteuid()}", f"{shared}/others"),
        tried(os.rmdir, f"{shared}/folder"),
        tried(os.open, f"{shared}/secret", os.O_RDONLY),
        tried(os.listdir, f"{shared}/closed"),
        tried(os.stat, f"{shared}/closed/x"),
        tried(os.chmod, f"{shared}/readable", 0o777),
        tried(os.utime, f"{shared}/readable"),
        tried(os.utime, f"{shared}/writable"),
        tried(os.utime, f"{shared}/writable", ns=(1, 1)),
        tried(os.truncate, f"{shared}/readable", 0),
        tried(os.link, f"{shared}/secret", "stolen"),
        tried(os.access, f"{shared}/secret", os.R_OK),
        tried(os.setxattr, f"{shared}/readable", "user.a", b""),
    ]


# -- contents ---------------------------------------------------------------------------------------------------------


@scenario
def reading_and_writing() -> list[Any]:
    descriptor = os.open("a", os.O_CREAT | os.O_RDWR)
    results = [
        os.write(descriptor, b"0123456789"),
        os.pwrite(descriptor, b"ab", 3),
        os.pread(descriptor, 20, 0).decode(),
        os.pread(descriptor, 5, 20).decode(),
        os.pwrite(descriptor, b"far", 10_000_000),
        os.fstat(descriptor).st_size,
        os.pread(descriptor, 4, 5_000_000).decode(),
        tried(os.ftruncate, descriptor, -1),
        tried(os.pwrite, descriptor, b"x", 2**44),
        tried(os.pwrite, descriptor, b"x", 2**63 - 1),
        tried(os.ftruncate, descriptor, 2**44),
        tried(os.ftruncate, descriptor, 2**45),
        tried(os.lseek, descriptor, -1, os.SEEK_SET),
        tried(os.truncate, ".", 0),
        tried(os.truncate, "none", 0),
        tried(os.read, os.open("a", os.O_WRONLY), 1),
        tried(os.write, os.open("a", os.O_RDONLY), b"x"),
        tried(os.fsync, descriptor),
        tried(os.fdatasync, descriptor),
        tried(os.fsync, os.open(".", os.O_RDONLY)),
        tried(os.ftruncate, descriptor, 4),
        got("a"),
    ]
    return [*results, os.writev(descriptor, [b"v" * 10, b"w" * 2_000_000]), os.fstat(descriptor).st_size]


@scenario
def appending_from_several_processes() -> list[Any]:
    for number in range(4):
        if os.fork() == 0:
            descriptor = os.open("log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
            for _ in range(250):
                os.write(descriptor, bytes([65 + number]) * 37 + b"\n")
            os._exit(0)
    for _ in range(4):
        os.wait()
    lines = got("log").splitlines()
    return [
        len(lines),
        sorted({line[0] for line in lines}),
        all(len(line) == 37 and len(set(line)) == 1 for line in lines),
    ]


@scenario
def holes() -> list[Any]:
    descriptor = os.open("a", os.O_CREAT | os.O_RDWR)
    os.pwrite(descriptor, b"x" * 4096, 1 << 20)
    os.ftruncate(descriptor, 3 << 20)
    os.fsync(descriptor)
    punch, keep, zero = 3, 1, 16

    def allocate(mode: int, offset: int, length: int) -> Any:
        return tried(syscalls.fallocate, descriptor, mode, offset, length)

    def map_of() -> list[Any]:
        return [
            tried(os.lseek, descriptor, at, whence)
            for at in (0, 1 << 20, 2 << 20, 4 << 20)
            for whence in (os.SEEK_DATA, os.SEEK_HOLE)
        ]

    results = [
        map_of(),
        os.fstat(descriptor).st_blocks,
        allocate(punch, 1 << 20, 4096),
        map_of(),
        os.fstat(descriptor).st_blocks,
    ]
    os.pwrite(descriptor, b"y" * 65536, 0)
    os.fsync(descriptor)
    results += [
        allocate(punch, 100, 8192),
        os.pread(descriptor, 8400, 0).count(b"y"),
        allocate(zero, 0, 5000),
        os.pread(descriptor, 9000, 0).count(b"y"),
    ]
    results += [
        allocate(keep, 4 << 20, 4096),
        os.fstat(descriptor).st_size,
        allocate(0, 4 << 20, 4096),
        os.fstat(descriptor).st_size,
    ]
    results += [
        allocate(zero | keep, 5 << 20, 4096),
        os.fstat(descriptor).st_size,
        allocate(0, 0, 0),
        allocate(0, -1, 5),
        allocate(2, 0, 4096),
    ]
    return [*results, tried(os.posix_fallocate, descriptor, 0, 6 << 20), os.fstat(descriptor).st_size]


@scenario
def shared_memory_maps() -> list[Any]:
    descriptor = os.open("a", os.O_CREAT | os.O_RDWR)
    os.ftruncate(descriptor, 3 * 4096)
    with mmap.mmap(descriptor, 3 * 4096) as mapped:
        mapped[0:5] = b"hello"
        mapped[8190:8194] = b"over"
        before = os.pread(descriptor, 5, 0).decode()
        mapped.flush()
        os.pwrite(descriptor, b"J", 0)
        after = mapped[0:5].decode()
        if os.fork() == 0:
            mapped[100:103] = b"kid"
            os._exit(0)
        os.wait()
        kid = mapped[100:103].decode()
        mapped[7] = 9
        times = moves("a", mapped.flush)
    private = mmap.mmap(os.open("a", os.O_RDONLY), 0, prot=mmap.PROT_READ | mmap.PROT_WRITE, flags=mmap.MAP_PRIVATE)
    private[0:1] = b"X"
    return [before, after, kid, times[0], got("a")[:5], got("a")[8190:8194], os.stat("a").st_size]


@scenario
def direct_input_and_output() -> list[Any]:
    descriptor = os.open("a", os.O_CREAT | os.O_RDWR | os.O_DIRECT)
    memory = mmap.mmap(-1, 65536)
    memory[:] = b"d" * 65536
    wrote = os.pwrite(descriptor, memory, 0)
    memory[:] = b"e" * 65536
    more = os.pwrite(descriptor, memory, 1 << 20)
    target = mmap.mmap(-1, 65536)
    read = os.preadv(descriptor, [target], 0)
    buffered = got("a")
    os.close(descriptor)
    put("a", b"plain")
    descriptor = os.open("a", os.O_RDONLY | os.O_DIRECT)
    again = os.preadv(descriptor, [target], 0)
    return [wrote, more, read, len(buffered), buffered.count("d"), buffered.count("e"), again, target[:5].decode()]


@scenario
def opening_ways() -> list[Any]:
    put("a", b"12345")
    append = os.open("a", os.O_RDWR | os.O_APPEND)
    os.write(append, b"6")
    os.pwrite(append, b"7", 0)
    results: list[Any] = [got("a")]
    os.close(os.open("a", os.O_RDWR | os.O_TRUNC))
    results += [
        got("a"),
        os.fstat(append).st_size,
        tried(os.open, "a", os.O_RDONLY | os.O_DIRECTORY),
        tried(os.open, ".", os.O_RDWR),
    ]
    synchronous = os.open("s", os.O_CREAT | os.O_WRONLY | os.O_SYNC)
    results += [
        os.write(synchronous, b"sync"),
        got("s"),
        tried(os.open, "none", os.O_CREAT | os.O_DIRECTORY),
        tried(os.open, "n/", os.O_CREAT),
    ]
    os.chmod("a", 0o000)
    results += [tried(os.open, "a", os.O_RDONLY) == "EACCES", tried(os.open, "a", os.O_RDWR) == "EACCES"]
    create_read_only = os.open("ro", os.O_CREAT | os.O_RDWR, 0o444)
    return [
        *results,
        os.write(create_read_only, b"still writable"),
        got("ro"),
        tried(os.open, "ro", os.O_WRONLY) == "EACCES",
    ]


@scenario
def locks() -> list[Any]:
    put("a")
    first, second = os.open("a", os.O_RDWR), os.open("a", os.O_RDWR)
    results = [tried(fcntl.flock, first, fcntl.LOCK_EX), tried(fcntl.flock, second, fcntl.LOCK_EX | fcntl.LOCK_NB)]
    results += [tried(fcntl.flock, first, fcntl.LOCK_UN), tried(fcntl.lockf, first, fcntl.LOCK_EX, 10, 0)]
    if (child := os.fork()) == 0:
        mine = os.open("a", os.O_RDWR)
        busy = tried(fcntl.lockf, mine, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 5) == "EAGAIN"
        free = tried(fcntl.lockf, mine, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 10) is None
        os._exit(busy * 2 + free)
    return [*results, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]


@scenario
def running_a_program() -> list[Any]:
    put("program", b"#!/bin/sh\nexit 3\n", 0o755)
    with open("/bin/true", "rb") as source:
        put("true", source.read(), 0o755)
    results = [os.waitstatus_to_exitcode(os.system("./program")), os.waitstatus_to_exitcode(os.system("./true"))]
    with open("/bin/sleep", "rb") as source:
        put("sleep", source.read(), 0o755)
    child = os.spawnv(os.P_NOWAIT, "./sleep", ["sleep", "5"])
    while tried(os.readlink, f"/proc/{child}/exe") != os.path.realpath("sleep"):
        time.sleep(0.005)
    results.append(tried(os.open, "sleep", os.O_WRONLY))
    os.kill(child, 9)
    os.waitpid(child, 0)
    return [*results, tried(os.execv, "./missing", ["x"])]


@scenario
def copying_ranges() -> list[Any]:
    put("a", bytes(range(256)) * 1000)
    source, target = os.open("a", os.O_RDONLY), os.open("b", os.O_CREAT | os.O_RDWR)
    copied = 0
    while count := os.copy_file_range(source, target, 100_000, copied, copied):
        copied += count
    pipe_out, pipe_in = os.pipe()
    spliced = os.splice(source, pipe_in, 4096, offset_src=512)
    sent = os.sendfile(target, source, 10, 5000)
    return [copied, got("a") == got("b")[: len(got("a"))], spliced, os.read(pipe_out, 3).hex(), sent, len(got("b"))]


@scenario
def inode_flags_and_file_system() -> list[Any]:
    found = os.statvfs(".")
    libc = ctypes.CDLL(None)
    return [
        found.f_namemax,
        found.f_bsize,
        found.f_frsize,
        found.f_blocks > 0,
        libc.pathconf(b".", 3),
        libc.pathconf(b".", 4),
    ]


def run(directory: str) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for name, function in SCENARIOS.items():
        folder = os.path.join(directory, f"{name}-{os.geteuid()}")
        os.mkdir(folder)
        os.chdir(folder)
        os.umask(0o022)
        try:
            results[name] = function()
        except Exception as error:
            results[name] = f"{type(error).__name__}: {error} in line {error.__traceback__.tb_next.tb_lineno}"  # type: ignore[union-attr]
    os.chdir("/")
    return results


if __name__ == "__main__":
    uid = int(sys.argv[2])
    if uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    print(json.dumps(run(sys.argv[1])))
