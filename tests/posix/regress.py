"""PostgreSQL's own regression run. Debian has the program that runs it, but not what is run; that is in the source:

apt-get source postgresql-15 && apt-get install postgresql-server-dev-15
POSTGRESQL_SOURCE=$PWD/postgresql-15.18 ...
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

LIBRARIES = Path("/usr/lib/postgresql/15/lib")
PROGRAMS = Path("/usr/lib/postgresql/15/bin")
HEADERS = Path(os.environ.get("POSTGRESQL_HEADERS", "/usr/include/postgresql/15/server"))
CONTRIB = ("refint.so", "autoinc.so")
"""Extensions that the tests expect beside their own."""


def source() -> Path | None:
    """The source's tests, if POSTGRESQL_SOURCE names it and what is made of them can be made here."""
    folder = Path(os.environ.get("POSTGRESQL_SOURCE", "/nowhere"), "src/test/regress")
    return folder if (folder / "regress.c").exists() and (HEADERS / "postgres.h").exists() else None


def prepare(regress: Path, folder: Path) -> None:
    """What the tests load into the server, in a folder that postgres may read."""
    compile_it = ["cc", "-O1", "-shared", "-fPIC", f"-I{HEADERS}", '-DDLSUFFIX=".so"', "-o"]
    subprocess.run([*compile_it, folder / "regress.so", regress / "regress.c"], check=True, capture_output=True)
    for name in CONTRIB:
        (folder / name).symlink_to(LIBRARIES / name)


def commands(regress: Path, libraries: Path, directory: str) -> list[list[str]]:
    """A cluster of its own in the directory, and 200 tests on it, up to twenty at once."""
    run = [
        f"{LIBRARIES}/pgxs/src/test/regress/pg_regress",
        f"--bindir={PROGRAMS}",
        f"--dlpath={libraries}",
        f"--inputdir={regress}",
        f"--outputdir={directory}",
        f"--temp-instance={directory}/instance",
        "--no-locale",
        f"--schedule={regress}/parallel_schedule",
    ]
    return [
        ["install", "-d", "-o", "postgres", "-m", "700", directory],
        ["sh", "-c", 'cd "$0" && exec runuser -u postgres -- "$@"', directory, *run],
    ]
