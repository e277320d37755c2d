"""Files that are there as a whole or not at all, and secrets."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

from farmd.errors import MachineError

KEY_BYTES = 32


def new_key() -> str:
    """A secret for a farm: 32 random bytes in base64 (RFC 4648)."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def write(path: Path, text: str, *, mode: int, replace: bool) -> None:
    """Write a file, which nobody ever sees half written or with more rights than `mode`.

    Raises MachineError when it cannot be written, or is there and must not be replaced.
    """
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(text)
            os.fchmod(file.fileno(), mode)
        try:
            if replace:
                aside.rename(path)
            else:
                os.link(aside, path)  # unlike a rename, it never replaces
        finally:
            aside.unlink(missing_ok=True)
    except FileExistsError:
        raise MachineError(f"{path} is there already") from None
    except OSError as error:
        raise MachineError(f"{path} cannot be written: {error.strerror}") from None
