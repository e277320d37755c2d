"""Secrets in a configuration: written in place, or "@/path" for a file that only its owner can read."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from farmd.errors import ConfigError

TEXT_CHARACTERS_MIN = 16
"""A shorter secret can be guessed from one recorded message."""

FILE_BYTES_MAX = 4096
"""A secret is a line of text; more is the wrong file."""

KEY_BYTES = 32
"""A derived key's length: as much as BLAKE2b's own security asks for."""


def read_key(value: object, key: str, folder: Path) -> bytes:
    """The 32-byte key derived from a secret.

    value: the secret itself, or "@" and the path of its file, relative to `folder`. White space around it is ignored.
    Raises ConfigError with the path `key`; the secret is never part of the sentence.
    """
    if not isinstance(value, str):
        raise ConfigError(key, "must be a string, the secret itself or '@' and the path of its file")
    text = _read_file(folder / value[1:], key) if value.startswith("@") else value
    text = text.strip()
    if len(text) < TEXT_CHARACTERS_MIN:
        raise ConfigError(key, f"has {len(text)} characters, and a secret needs at least {TEXT_CHARACTERS_MIN}")
    # The personalisation keeps this key apart from every other use of the same text.
    return hashlib.blake2b(text.encode(), digest_size=KEY_BYTES, person=b"farmd.key").digest()


def _read_file(path: Path, key: str) -> str:
    try:
        # O_NONBLOCK: opening a FIFO that nobody writes would otherwise wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(key, f"names the file {str(path)!r}, which cannot be read: {reason}") from None
    try:
        return _read_private(descriptor)
    except (OSError, ValueError) as error:
        raise ConfigError(key, f"names the file {str(path)!r}, which {error}") from None
    finally:
        os.close(descriptor)


def _read_private(descriptor: int) -> str:
    """The file's text; ValueError says what is wrong with the file."""
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        raise ValueError("is not a regular file")
    if mode & 0o077:
        raise ValueError(f"others may use (mode {stat.S_IMODE(mode):04o}); chmod 600 it")
    content = os.read(descriptor, FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise ValueError(f"is larger than {FILE_BYTES_MAX} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
