"""The compiled filter, kept in a file: the compiler takes a second, and with the file a start takes none of it.

    FARMD_CACHE/filter-DIGEST.json     FARMD_CACHE is /var/cache/farmd unless set

The digest is of what is compiled and of what compiles it, so a file is never out of date; it can be deleted at any
time, and what cannot be kept is compiled again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from bpf import layout
from farmd.errors import MachineError
from farmd.kit.whole import write_whole

_SYSTEM_PYTHON = "/usr/bin/python3"  # the one that python3-bpfcc is for
_TIMEOUT_S = 60  # a second is usual, several on a loaded small machine
_LOG_LINES = 8  # in a message


def cache_folder() -> Path:
    """FARMD_CACHE, or /var/cache/farmd."""
    return Path(os.environ.get("FARMD_CACHE", "/var/cache/farmd"))


def compiled_filter(log: Path) -> dict[str, Any]:
    """What `bpf.loader` loads: from the file, or compiled. MachineError if it cannot be compiled; the compiler's
    messages are then in `log`.
    """
    with contextlib.suppress(OSError, ValueError):  # not there, or not whole: its writer lost power
        kept: dict[str, Any] = json.loads(_file().read_text())
        return kept
    compiled = _compile(log)
    with contextlib.suppress(OSError):  # a cache that cannot be written
        _keep(json.dumps(compiled))
    return compiled


def forget() -> None:
    """Compile at the next time, since what is kept was of no use."""
    with contextlib.suppress(OSError):  # not there, or a cache that cannot be written
        _file().unlink()


def with_log(sentence: str, log: Path) -> str:
    """The sentence and, if the compiler or the verifier has said something, the end of it; all of it is in `log`."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return "\n".join([sentence, *lines[-_LOG_LINES:], f"(all of it: {log})"]) if lines else sentence


def _file() -> Path:
    return cache_folder() / f"filter-{_digest()}.json"


@functools.cache
def _digest() -> str:
    return hashlib.blake2b(layout.source_digest().encode() + _compiler().read_bytes(), digest_size=16).hexdigest()


def _compiler() -> Path:
    return layout.FOLDER / "compiler.py"


def _keep(text: str) -> None:
    """Instead of what other versions have kept."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    for other in folder.glob("filter-*"):
        other.unlink(missing_ok=True)
    write_whole(_file(), text)


def _compile(log: Path) -> dict[str, Any]:
    """Run bpf/compiler.py under the system's Python."""
    command = [_SYSTEM_PYTHON, "-I", str(_compiler()), str(log)]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MachineError(f"the filter's compiler does not run: {error}") from error
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        raise MachineError(f"the filter's compiler ended with status {done.returncode}, see {log}") from error
    if "error" in answer:
        raise MachineError(with_log(answer["error"], log))
    return answer
