"""The operations of the exerciser: each does one thing to a random path, and returns what can be compared."""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
from contextlib import closing

from tests.posix import calls
from tests.posix.exerciser import HELD_MAX, SIZE_MAX, Exerciser, Operation

# -- contents ----------------------------------------------------------------------------------------------------------


def write(e: Exerciser, path: bytes) -> object:
    offset, length = e.range()
    with e.opened(path, os.O_RDWR | os.O_CREAT) as descriptor:
        return os.pwrite(descriptor, e.some_bytes(length), offset)


def overwrite(e: Exerciser, path: bytes) -> object:
    with e.opened(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as descriptor:
        return os.write(descriptor, e.some_bytes(e.range()[1]))


def append(e: Exerciser, path: bytes) -> object:
    with e.opened(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND) as descriptor:
        if os.fstat(descriptor).st_size > SIZE_MAX:
            os.ftruncate(descriptor, 10)
        return os.write(descriptor, e.some_bytes(e.range()[1]))


def store(e: Exerciser, path: bytes) -> object:
    """Through a shared mapping, with msync(2) or without."""
    with e.opened(e.own_path(), os.O_RDWR | os.O_CREAT) as descriptor:
        size = os.fstat(descriptor).st_size if stat.S_ISREG(os.fstat(descriptor).st_mode) else 0
        if not size:
            return os.pwrite(descriptor, e.some_bytes(e.range()[1]), e.range()[0])
        at = e.random.randrange(size)
        length = min(size - at, e.range()[1])
        with closing(mmap.mmap(descriptor, size)) as mapping:
            mapping[at : at + length] = e.some_bytes(length)
            if e.random.random() < 0.5:
                mapping.flush()
        return length


def read(e: Exerciser, path: bytes) -> object:
    offset, length = e.range()
    with e.opened(path, os.O_RDONLY) as descriptor:
        return digest(os.pread(descriptor, length, offset))


def read_mapped(e: Exerciser, path: bytes) -> object:
    with e.opened(e.own_path(), os.O_RDONLY) as descriptor:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode) or not os.fstat(descriptor).st_size:
            return "empty"
        with closing(mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)) as mapping:
            return digest(mapping[:])


def truncate(e: Exerciser, path: bytes) -> None:
    os.truncate(path, e.range()[0])


def punch(e: Exerciser, path: bytes) -> None:
    with e.opened(path) as descriptor:
        calls.fallocate(descriptor, calls.FALLOC_FL_PUNCH_HOLE | calls.FALLOC_FL_KEEP_SIZE, *e.range())


def zero(e: Exerciser, path: bytes) -> None:
    with e.opened(path) as descriptor:
        calls.fallocate(descriptor, calls.FALLOC_FL_ZERO_RANGE, *e.range())


def allocate(e: Exerciser, path: bytes) -> None:
    with e.opened(path) as descriptor:
        calls.fallocate(descriptor, e.random.choice((0, calls.FALLOC_FL_KEEP_SIZE)), *e.range())


def copy(e: Exerciser, path: bytes) -> object:
    """copy_file_range(2), of a file to another."""
    offset, length = e.range()
    with e.opened(path, os.O_RDONLY) as source, e.opened(e.path(), os.O_RDWR | os.O_CREAT) as target:
        return os.copy_file_range(source, target, length, offset // 2, offset // 4)


def sync(e: Exerciser, path: bytes) -> object:
    with e.opened(path, os.O_RDONLY) as descriptor:
        return e.random.choice((os.fsync, os.fdatasync))(descriptor)


# -- files that stay open ----------------------------------------------------------------------------------------------


def hold(e: Exerciser, path: bytes) -> object:
    e.held.append(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    if len(e.held) > HELD_MAX:
        os.close(e.held.pop(0))
    return len(e.held)


def use_held(e: Exerciser, path: bytes) -> object:
    if not e.held:
        return "none"
    descriptor = e.random.choice(e.held)
    offset, length = e.range()
    os.pwrite(descriptor, e.some_bytes(length), offset)
    return digest(os.pread(descriptor, 2 * length, offset // 2)), os.fstat(descriptor).st_nlink


# -- names -------------------------------------------------------------------------------------------------------------


def make_folder(e: Exerciser, path: bytes) -> None:
    """In place of a file, if one has got that name."""
    folder = e.some_folder()
    if not os.path.isdir(folder) and os.path.lexists(folder):
        os.unlink(folder)
    os.mkdir(folder, e.random.choice((0o755, 0o777, 0o2775, 0o1777)))


def remove_folder(e: Exerciser, path: bytes) -> None:
    os.rmdir(e.some_folder())


def rename(e: Exerciser, path: bytes) -> None:
    os.rename(path, e.path())


def rename_folder(e: Exerciser, path: bytes) -> None:
    os.rename(e.some_folder(), e.random.choice((e.path(), e.some_folder())))


def rename_if_new(e: Exerciser, path: bytes) -> None:
    calls.rename(path, e.path(), calls.RENAME_NOREPLACE)


def exchange(e: Exerciser, path: bytes) -> None:
    calls.rename(path, e.random.choice((e.path(), e.path(), e.some_folder())), calls.RENAME_EXCHANGE)


def link(e: Exerciser, path: bytes) -> None:
    os.link(path, e.path(), follow_symlinks=False)


def unlink(e: Exerciser, path: bytes) -> None:
    os.unlink(path)


def symlink(e: Exerciser, path: bytes) -> None:
    os.symlink(e.random.choice((b"a", b"d3/b", b"nowhere", b"y" * 3000)), path)


def special(e: Exerciser, path: bytes) -> None:
    kind = e.random.choice((stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR))
    os.mknod(path, kind | 0o640, os.makedev(1, 3) if kind == stat.S_IFCHR else 0)


def unnamed(e: Exerciser, path: bytes) -> None:
    """A file without a name that gets one when it is complete (open(2), O_TMPFILE)."""
    with e.opened(os.path.dirname(path), os.O_RDWR | os.O_TMPFILE) as descriptor:
        os.write(descriptor, e.some_bytes(e.range()[1]))
        os.fchmod(descriptor, 0o604)
        calls.link_open(descriptor, path)


# -- attributes --------------------------------------------------------------------------------------------------------


def chmod(e: Exerciser, path: bytes) -> None:
    os.chmod(path, e.random.choice((0o600, 0o666, 0o755, 0o4755, 0o2755, 0o2644, 0o1777)))


def chown(e: Exerciser, path: bytes) -> None:
    os.chown(path, e.random.choice((-1, 0, 1001)), e.random.choice((-1, 0, 1002)), follow_symlinks=False)


def touch(e: Exerciser, path: bytes) -> object:
    """From 1901 until 2514, which is more than ext4 can keep."""
    seconds = [e.random.choice((e.random.randrange(-(2**31), 2**34), e.random.randrange(2**31))) for _ in range(2)]
    times = (seconds[0] * 10**9 + e.random.randrange(10**9), seconds[1] * 10**9 + e.random.randrange(10**9))
    os.utime(path, ns=times, follow_symlinks=False)
    found = os.lstat(path)
    return found.st_atime_ns == times[0], found.st_mtime_ns == times[1]


def set_attribute(e: Exerciser, path: bytes) -> None:
    name = e.random.choice((b"user.one", b"user.two", b"trusted.three"))
    os.setxattr(path, name, e.some_bytes(e.random.choice((0, 5, 900))), e.random.choice((0, 1, 2)))


def remove_attribute(e: Exerciser, path: bytes) -> None:
    os.removexattr(path, e.random.choice((b"user.one", b"user.two")))


def set_acl(e: Exerciser, path: bytes) -> None:
    value = calls.acl(6, 1001, e.random.choice((4, 6)), 5, e.random.choice((5, 7)), e.random.choice((0, 4)))
    os.setxattr(path, b"system.posix_acl_access", value)


def set_default_acl(e: Exerciser, path: bytes) -> None:
    os.setxattr(e.some_folder(), b"system.posix_acl_default", calls.acl(7, 1001, 6, 5, 7, 0))


def look(e: Exerciser, path: bytes) -> object:
    found = os.lstat(path)
    attributes = {name: digest(os.getxattr(path, name, follow_symlinks=False)) for name in _attributes(path)}
    size = 0 if stat.S_ISDIR(found.st_mode) else found.st_size
    return oct(found.st_mode), found.st_nlink, found.st_uid, found.st_gid, size, found.st_rdev, attributes


def list_folder(e: Exerciser, path: bytes) -> object:
    return sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in os.scandir(e.some_folder()))


def digest(content: bytes) -> str:
    return f"{len(content)}:{hashlib.blake2b(content, digest_size=6).hexdigest()}"


def _attributes(path: bytes) -> list[str]:
    return sorted(name for name in os.listxattr(path, follow_symlinks=False) if not name.startswith("security."))


WEIGHTS: list[tuple[Operation, int]] = [
    (write, 12), (overwrite, 4), (append, 6), (store, 6), (read, 6), (read_mapped, 3), (truncate, 4), (punch, 4),
    (zero, 2), (allocate, 2), (copy, 2), (sync, 2), (hold, 3), (use_held, 4), (make_folder, 6), (remove_folder, 1),
    (rename, 5), (rename_folder, 2), (rename_if_new, 1), (exchange, 2), (link, 4), (unlink, 5), (symlink, 2),
    (special, 1), (unnamed, 2), (chmod, 3), (chown, 3), (touch, 3), (set_attribute, 3), (remove_attribute, 1),
    (set_acl, 1), (set_default_acl, 1), (look, 8), (list_folder, 3),
]  # fmt: skip
