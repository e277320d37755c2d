"""What a file system is measured with, run on the node that has it mounted.

    python -m tests.bench.mirror_work WORK DIRECTORY [--seconds 3] [--files 100000]

It prints one JSON object: {"figure": ..., "unit": ...}. Rates are of operations that the system call has returned from;
what the page cache still holds then counts as done, as an application would take it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

FIO = {
    "write 4 KiB": ["--rw=write", "--bs=4k", "--size=64m"],
    "write 4 KiB, 4 threads": ["--rw=write", "--bs=4k", "--size=64m", "--numjobs=4", "--thread"],
    "write 4 KiB, fsync": ["--rw=write", "--bs=4k", "--size=64m", "--fsync=1"],
    "write 1 MiB": ["--rw=write", "--bs=1m", "--size=64m"],
    "read 4 KiB, cached": ["--rw=randread", "--bs=4k", "--size=64m", "--pre_read=1", "--invalidate=0"],
    "read 1 MiB, cached": ["--rw=read", "--bs=1m", "--size=64m", "--pre_read=1", "--invalidate=0"],
}
"""What fio is told, beside the engine (psync: one system call at a time) and the duration."""
IN_MEGABYTES = ("write 1 MiB", "read 1 MiB, cached")
FOLDER_FILES = 1000
DATABASE = "database"
CLIENTS = 8
SCALE = 10
POSTGRESQL = Path("/usr/lib/postgresql/15/bin")
SOCKETS = "/run/postgresql"


def fio(work: str, directory: Path, seconds: float) -> dict[str, object]:
    """A rate: operations a second, or MB/s."""
    command = ["fio", "--name=bench", f"--directory={directory}", "--ioengine=psync", "--group_reporting"]
    command += ["--time_based", f"--runtime={seconds:g}", "--output-format=json", *FIO[work]]
    job = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["jobs"][0]
    rate = job["read" if work.startswith("read") else "write"]
    if work in IN_MEGABYTES:
        return {"figure": rate["bw_bytes"] / 1e6, "unit": "MB/s"}
    return {"figure": rate["iops"], "unit": "/s"}


# -- many files --------------------------------------------------------------------------------------------------------


def paths(directory: Path, files: int) -> list[bytes]:
    """Files in folders of a thousand."""
    return [os.fsencode(directory / f"many/{n // FOLDER_FILES}/{n % FOLDER_FILES}") for n in range(files)]


def create(directory: Path, files: int) -> dict[str, object]:
    for folder in range((files + FOLDER_FILES - 1) // FOLDER_FILES):
        (directory / f"many/{folder}").mkdir(parents=True)
    wanted = paths(directory, files)
    return _each(wanted, lambda path: os.close(os.open(path, os.O_WRONLY | os.O_CREAT)))


def open_files(directory: Path, files: int) -> dict[str, object]:
    return _warm(paths(directory, files), lambda path: os.close(os.open(path, os.O_RDONLY)))


def stat_files(directory: Path, files: int) -> dict[str, object]:
    return _warm(paths(directory, files), os.stat)


def list_folders(directory: Path, files: int) -> dict[str, object]:
    """Nanoseconds for each file in the listings."""
    folders = sorted({os.path.dirname(path) for path in paths(directory, files)})
    times = [_time(folders, os.listdir) for _ in range(2)]
    return {"figure": times[-1] / files, "unit": "ns"}


def _warm(things: list[bytes], operation: Callable[[bytes], object]) -> dict[str, object]:
    _each(things, operation)
    return _each(things, operation)


def _each(things: list[bytes], operation: Callable[[bytes], object]) -> dict[str, object]:
    return {"figure": _time(things, operation) / len(things), "unit": "ns"}


def _time(things: list[bytes], operation: Callable[[bytes], object]) -> int:
    start = time.monotonic_ns()
    for thing in things:
        operation(thing)
    return time.monotonic_ns() - start


MANY = {
    "create files": create,
    "open, warm": open_files,
    "stat, warm": stat_files,
    "readdir, warm": list_folders,
}


# -- PostgreSQL --------------------------------------------------------------------------------------------------------


def prepare_database(directory: Path) -> None:
    """A cluster with pgbench's tables; it does not run afterwards."""
    data = directory / DATABASE
    data.mkdir(mode=0o700)
    subprocess.run(["chown", "postgres:", data], check=True)
    _as_postgres("initdb", "-D", str(data), "-A", "trust", "--no-sync")
    with (data / "postgresql.conf").open("a") as file:
        file.write(f"listen_addresses = ''\nunix_socket_directories = '{SOCKETS}'\n")
    with _running(data):
        _as_postgres("pgbench", "-h", SOCKETS, "-i", "-q", "-s", str(SCALE), "postgres")


def pgbench(directory: Path, seconds: float) -> dict[str, object]:
    with _running(directory / DATABASE):
        command = ["pgbench", "-h", SOCKETS, "-c", str(CLIENTS), "-j", "2", "-T", f"{seconds:.0f}", "-n", "postgres"]
        for line in _as_postgres(*command).splitlines():
            if line.startswith("tps = "):
                return {"figure": float(line.split()[2]), "unit": "/s"}
    raise ValueError("pgbench said no tps")


class _running:  # noqa: N801
    """A database server, for as long as it is needed."""

    def __init__(self, data: Path) -> None:
        self.data = data

    def __enter__(self) -> None:
        _as_postgres("pg_ctl", "start", "-w", "-s", "-D", str(self.data), "-l", f"{SOCKETS}/log")

    def __exit__(self, *_: object) -> None:
        _as_postgres("pg_ctl", "stop", "-w", "-s", "-m", "fast", "-D", str(self.data))


def _as_postgres(program: str, *arguments: str) -> str:
    command = ["runuser", "-u", "postgres", "--", str(POSTGRESQL / program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    if done.returncode:
        sys.exit(f"{program}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def main() -> None:
    """Entry of `python -m tests.bench.mirror_work`."""
    parser = argparse.ArgumentParser(prog="tests.bench.mirror_work", description="Measure one thing in a directory.")
    parser.add_argument("work", choices=[*FIO, *MANY, "prepare pgbench", "pgbench, 8 clients"])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--files", type=int, default=100_000)
    arguments = parser.parse_args()
    os.sync()  # what was written before, here or by another contender, is not to be written back meanwhile
    if arguments.work in FIO:
        result = fio(arguments.work, arguments.directory, arguments.seconds)
    elif arguments.work in MANY:
        result = MANY[arguments.work](arguments.directory, arguments.files)
    elif arguments.work == "prepare pgbench":
        prepare_database(arguments.directory)
        result = {}
    else:
        result = pgbench(arguments.directory, arguments.seconds)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
