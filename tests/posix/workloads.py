"""Foreign programs that check themselves, for a directory on any file system. Each fails when something is wrong.

The short forms are for every test run, the long ones on demand.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent

CPYTHON_SHORT = ["test_mmap", "test_shutil", "test_glob"]
CPYTHON_LONG = [
    "test_os", "test_mmap", "test_sqlite3", "test_shutil", "test_tarfile", "test_zipfile", "test_io", "test_fileio",
    "test_posix", "test_fcntl", "test_tempfile", "test_pathlib", "test_largefile", "test_dbm", "test_mailbox",
    "test_stat", "test_filecmp", "test_glob", "test_gzip", "test_bz2", "test_lzma", "test_shelve", "test_fileinput",
    "test_file", "test_zipimport", "test_import", "test_importlib", "test_posixpath", "test_genericpath", "test_bufio",
    "test_logging", "test_py_compile", "test_zipapp", "test_runpy", "test_unicode_file", "test_unicode_file_functions",
]  # fmt: skip

CPYTHON_NOT = "test_selflink"
"""Walks along 40 links in one path, as many as Linux follows. If anything is mounted meanwhile, anywhere on the
machine, Linux begins the walk again and goes on counting the links, and ELOOP comes too early, on ext4 as well."""


def fio(directory: str, megabytes: int = 16) -> list[list[str]]:
    """Written in random order with checksums and read again: through the page cache, past it, and mapped."""
    common = ["fio", f"--directory={directory}", f"--size={megabytes}m", "--rw=randwrite", "--verify=crc32c",
              "--verify_fatal=1", "--randseed=1", "--bs=4k-64k", "--bs_unaligned=0"]  # fmt: skip
    return [
        [*common, "--name=buffered", "--ioengine=psync", "--fsync=64"],
        [*common, "--name=direct", "--ioengine=psync", "--direct=1", "--bs=4k"],
        [*common, "--name=mapped", "--ioengine=mmap", "--bs=4k"],
        [*common, "--name=four", "--ioengine=psync", "--numjobs=4", "--thread"],
    ]


def sqlite(directory: str, rows: int = 20_000) -> list[list[str]]:
    """Inserts, updates and a vacuum in both journal modes, and SQLite's own check."""
    counting = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})"
    script = [
        "CREATE TABLE t (i INTEGER PRIMARY KEY, x BLOB)",
        f"INSERT INTO t {counting} SELECT i, randomblob(200) FROM n",
        "UPDATE t SET x = randomblob(300) WHERE i % 3 = 0",
        "DELETE FROM t WHERE i % 5 = 0",
        "VACUUM",
        f"SELECT CASE count(*) WHEN {rows - rows // 5} THEN 'ok' END FROM t",
        "PRAGMA integrity_check",
    ]
    judge = 'test "$(sqlite3 "$1" "$2" | tail -2 | tr "\\n" " ")" = "ok ok "'
    return [
        ["sh", "-c", judge, "sh", f"{directory}/{mode}.db", "; ".join([f"PRAGMA journal_mode = {mode}", *script])]
        for mode in ("wal", "delete")
    ]


STRESS_SHORT = ["chmod", "dentry", "dir", "fallocate", "fpunch", "getdent", "link", "mknod", "rename", "xattr"]
STRESS_LONG = [
    "access", "chdir", "chown", "copy-file", "dirdeep", "dirmany", "dnotify", "dup", "fanotify", "fcntl", "file-ioctl",
    "filename", "flock", "fstat", "handle", "hdd", "inotify", "io", "iomix", "lease", "locka", "lockf", "lockofd",
    "open", "symlink", "sync-file", "touch", "utime", "aio", "aiol", "readahead", "revio", "seek", "sendfile", "msync",
]  # fmt: skip


def stress(directory: str, long: bool) -> list[list[str]]:
    """stress-ng's stressors of file systems, which check what they do: a few at once, or each by itself."""
    common = ["stress-ng", "--verify", f"--temp-path={directory}"]
    if not long:
        return [[*common, "--timeout=2", *(f"--{name}=1" for name in STRESS_SHORT)]]
    return [[*common, "--timeout=3", f"--{name}={count}"] for name in STRESS_SHORT + STRESS_LONG for count in (1, 4)]


def git(directory: str) -> list[list[str]]:
    """This repository: cloned without links to it, changed, collected, checked."""
    clone = f"{directory}/clone"
    run = ["git", "-c", "safe.directory=*", "-c", "user.name=x", "-c", "user.email=x@example.org"]
    return [
        [*run, "clone", "--quiet", "--no-local", str(CHECKOUT), clone],
        ["sh", "-c", f"for n in $(seq 40); do echo $n > {clone}/file-$n; done"],
        [*run, "-C", clone, "add", "."],
        [*run, "-C", clone, "commit", "--quiet", "-m", "more"],
        [*run, "-C", clone, "gc", "--quiet", "--aggressive", "--prune=now"],
        [*run, "-C", clone, "fsck", "--full", "--strict", "--no-progress"],
        ["sh", "-c", f'test -z "$(git -C {clone} status --porcelain)"'],
    ]


def cpython(directory: str, tests: Iterable[str]) -> list[list[str]]:
    """CPython's own tests with their files in the directory; empty where no interpreter has them."""
    python = python_with_tests()
    if python is None:
        return []
    run = ["env", f"TMPDIR={directory}", python, "-m", "test", "-u", "largefile", "--timeout=300"]
    return [[*run, "--ignore", CPYTHON_NOT, f"--tempdir={directory}", *tests]]


def python_with_tests() -> str | None:
    """An interpreter that was installed with its tests; Debian leaves them out."""
    found = [shutil.which("python3"), *map(str, Path.home().glob(".pyenv/versions/3.1[1-9]*/bin/python3"))]
    for python in filter(None, found):
        command = [python, "-c", "import test.test_os"]
        if subprocess.run(command, capture_output=True, cwd="/", env=_plain_environment()).returncode == 0:
            return python
    return None


def _plain_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
