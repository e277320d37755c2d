"""Are two trees equal, byte for byte and with their metadata?

    python -m mirrord.compare A B          what differs, a line each; exit code 1 if anything does
    python -m mirrord.compare --save F A   A's listing, which can be given instead of A or B later, elsewhere

Compared: names, types, content, permissions, owners, extended attributes (POSIX ACLs are among them), modification
times, which names are links to one file, where symbolic links lead, which device a special file is.

Left out: ctime and birth time, which no program can set; atime, which reading alone changes; inode numbers and the size
of folders, the file system's own; where holes are, since zeros read the same (`--holes` compares how much
space each file takes, roughly).
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Facts = dict[str, Any]
Listing = dict[str, Facts]
"""Path, relative to the root ("." for the root itself), bytes that are no UTF-8 as lone surrogates -> what is there."""

_BLOCK_BYTES = 1 << 16
_HOLES_TOLERANCE_BYTES = 1 << 17


def listing(root: str | os.PathLike[str]) -> Listing:
    """Everything below a folder. Raises OSError."""
    first_names: dict[tuple[int, int], str] = {}
    found: Listing = {}
    for path, relative in _walk(os.fsencode(root)):
        status = os.lstat(path)
        facts = found[relative] = _facts(path, status)
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            first = first_names.setdefault((status.st_dev, status.st_ino), relative)
            if first != relative:  # of one name alone it does not matter which others there are outside of the tree
                facts["linked to"] = first
    return found


def differences(ours: Listing, theirs: Listing, *, holes: bool = False) -> list[str]:
    """One sentence for each path that differs; empty: the trees are equal."""
    found = []
    for path in sorted(ours.keys() | theirs.keys()):
        if path not in theirs:
            found.append(f"{path}: only in the first")
        elif path not in ours:
            found.append(f"{path}: only in the second")
        else:
            found += [f"{path}: {text}" for text in _differences(ours[path], theirs[path], holes=holes)]
    return found


def read(path: str) -> Listing:
    """Of a folder, or a listing that was saved."""
    if os.path.isdir(path):
        return listing(path)
    saved: Listing = json.loads(Path(path).read_text())
    return saved


def _walk(root: bytes) -> Iterator[tuple[bytes, str]]:
    waiting = [(root, b".")]
    while waiting:
        path, relative = waiting.pop()
        yield path, os.fsdecode(relative)
        if stat.S_ISDIR(os.lstat(path).st_mode):
            inside = b"" if relative == b"." else relative + b"/"
            waiting += sorted(((path + b"/" + name, inside + name) for name in os.listdir(path)), reverse=True)


def _facts(path: bytes, status: os.stat_result) -> Facts:
    facts: Facts = {
        "type": stat.S_IFMT(status.st_mode),
        "permissions": oct(stat.S_IMODE(status.st_mode)),
        "owner": [status.st_uid, status.st_gid],
        "modification time": status.st_mtime_ns,
        "extended attributes": _xattrs(path),
    }
    if stat.S_ISREG(status.st_mode):
        facts |= {"size": status.st_size, "content": _digest(path), "space": status.st_blocks * 512}
    elif stat.S_ISLNK(status.st_mode):
        facts["target"] = os.fsdecode(os.readlink(path))
    elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        facts["device"] = status.st_rdev
    return facts


def _xattrs(path: bytes) -> dict[str, str]:
    try:
        names = sorted(os.listxattr(path, follow_symlinks=False))
    except OSError:
        return {}
    return {name: os.getxattr(path, name, follow_symlinks=False).hex() for name in names}


def _digest(path: bytes) -> str:
    """Of the blocks that are not zero, and where they are: the same for zeros and for holes, which are not read."""
    found = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        at = _next_data(file.fileno(), 0)
        while at is not None and (block := os.pread(file.fileno(), _BLOCK_BYTES, at)):
            if block.strip(b"\0"):
                found.update(at.to_bytes(8, "little") + len(block).to_bytes(4, "little") + block)
            at = _next_data(file.fileno(), at + len(block))
    return found.hexdigest()


def _next_data(fd: int, at: int) -> int | None:
    """The beginning of the next block that is no hole; None: there is none."""
    try:
        return max(at, os.lseek(fd, at, os.SEEK_DATA) // _BLOCK_BYTES * _BLOCK_BYTES)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise


def _differences(ours: Facts, theirs: Facts, *, holes: bool) -> Iterator[str]:
    for word in sorted(ours.keys() | theirs.keys()):
        here, there = ours.get(word), theirs.get(word)
        if word == "space":
            if holes and abs((here or 0) - (there or 0)) > _HOLES_TOLERANCE_BYTES:
                yield f"takes {here} bytes of space, and {there} in the second"
        elif word == "content":
            if here != there:
                yield "content"
        elif here != there:
            yield f"{word} {here}, and {there} in the second"


def main() -> int:
    parser = argparse.ArgumentParser("compare", description="Are two trees equal, with their metadata?")
    parser.add_argument("trees", nargs="+", help="folders, or listings that were saved")
    parser.add_argument("--save", metavar="FILE", help="write the only tree's listing to a file")
    parser.add_argument("--holes", action="store_true", help="compare how much space files take, too")
    arguments = parser.parse_args()
    if arguments.save and len(arguments.trees) == 1:
        Path(arguments.save).write_text(json.dumps(listing(arguments.trees[0])))
        return 0
    if arguments.save or len(arguments.trees) != 2:
        parser.error("two trees to compare, or --save and one")
    found = differences(*map(read, arguments.trees), holes=arguments.holes)
    for sentence in found:
        print(sentence.encode(errors="backslashreplace").decode())
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
