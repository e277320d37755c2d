"""A mirrored directory does what ext4 does, operation by operation, and both nodes have the same afterwards.

MIRROR_SEEDS says how many seeds of the exerciser, MIRROR_WORKLOADS=long asks for the long forms of foreign programs.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.mirror import MirrorLab, plain
from tests.lab.mirrors import DATA, wait_equal
from tests.lab.test_topology import name
from tests.posix import regress, workloads

pytestmark = pytest.mark.needs_root

SEEDS = int(os.environ.get("MIRROR_SEEDS", "3"))
LONG = os.environ.get("MIRROR_WORKLOADS") == "long"
TRIALS = "0/1" if LONG else "9/37"
"""All of them take minutes; so few meet every call and every situation."""
PLAIN = "/srv/plain"
"""A folder of the same file system that is not mirrored."""


@pytest.fixture(scope="module")
def built() -> Iterator[MirrorLab]:
    with MirrorLab(name("posix"), [plain()]) as lab:
        yield lab


@pytest.fixture
def lab(built: MirrorLab) -> Iterator[MirrorLab]:
    for folder in (DATA, PLAIN):
        built.exec("n1", "sh", "-c", f"mkdir -p {folder}; find {folder} -mindepth 1 -delete")
    yield built
    assert built.wait_pair() == "n1"
    wait_equal(built)


@pytest.fixture
def readable() -> Iterator[Path]:
    """A folder that any user may read; pytest's own are root's."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def exercise(lab: MirrorLab, folder: str, seed: int, operations: int, processes: int) -> list[str]:
    """What each operation came to; of one process."""
    command = [sys.executable, "-m", "tests.posix.exercise", folder, f"--seed={seed}", f"--operations={operations}"]
    done = lab.exec("n1", *command, f"--processes={processes}", check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def tried(lab: MirrorLab, folder: str) -> list[str]:
    """What became of the trials."""
    command = [sys.executable, "-m", "tests.posix.trials", folder, f"--part={TRIALS}"]
    done = lab.exec("n1", *command, check=False, timeout=1800)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def run(lab: MirrorLab, commands: list[list[str]], timeout_s: float = 120.0) -> None:
    for command in commands:
        done = lab.exec("n1", *command, check=False, timeout=timeout_s)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout[-3000:]}{done.stderr[-3000:]}"


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_outcome_is_that_of_ext4(lab: MirrorLab, seed: int) -> None:
    expected = exercise(lab, PLAIN, seed, operations=3000, processes=1)
    assert exercise(lab, DATA, seed, operations=3000, processes=1) == expected


def test_every_call_changes_what_it_changes_on_ext4(lab: MirrorLab) -> None:
    expected, seen = (tried(lab, folder) for folder in (PLAIN, DATA))
    assert [line for line in seen if line not in expected] == []
    assert len(seen) == len(expected) > 300


@pytest.mark.parametrize("seed", range(SEEDS))
def test_processes_that_race_leave_equal_trees(lab: MirrorLab, seed: int) -> None:
    exercise(lab, DATA, seed, operations=2000, processes=4)


def test_fio_finds_what_it_wrote(lab: MirrorLab) -> None:
    run(lab, workloads.fio(DATA, megabytes=256 if LONG else 8))


def test_sqlite_is_whole(lab: MirrorLab) -> None:
    run(lab, workloads.sqlite(DATA, rows=200_000 if LONG else 5_000))


def test_stress_ng_finds_no_fault(lab: MirrorLab) -> None:
    run(lab, workloads.stress(DATA, LONG), timeout_s=1200)


def test_git_clones_and_collects_a_repository(lab: MirrorLab) -> None:
    run(lab, workloads.git(DATA))


@pytest.mark.skipif(workloads.python_with_tests() is None, reason="no interpreter here was installed with its tests")
def test_cpythons_own_tests_pass(lab: MirrorLab) -> None:
    tests = workloads.CPYTHON_LONG if LONG else workloads.CPYTHON_SHORT
    run(lab, workloads.cpython(DATA, tests), timeout_s=1800)


@pytest.mark.skipif(regress.source() is None, reason="POSTGRESQL_SOURCE names no source (tests/posix/regress.py)")
def test_postgresqls_own_regression_run_passes(lab: MirrorLab, readable: Path) -> None:
    source = regress.source()
    assert source is not None
    regress.prepare(source, readable)
    run(lab, regress.commands(source, readable, f"{DATA}/regress"), timeout_s=1800)
