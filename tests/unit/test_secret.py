"""Secrets: in place and in files, and every way in which a file is the wrong one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from farmd.errors import ConfigError
from farmd.kit import secret

SECRET = "correct horse battery staple"


def fault(value: object, folder: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        secret.read_key(value, "farm.keys[0]", folder)
    assert caught.value.key == "farm.keys[0]"
    return caught.value


def write(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "web.key"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_key_has_32_bytes_and_depends_on_the_text_alone(tmp_path: Path) -> None:
    in_place = secret.read_key(SECRET, "k", tmp_path)
    assert len(in_place) == 32
    path = write(tmp_path, f"\n {SECRET}\n".encode())
    assert secret.read_key(f"@{path}", "k", Path("/")) == in_place
    assert secret.read_key("@web.key", "k", tmp_path) == in_place
    assert secret.read_key(SECRET + "r", "k", tmp_path) != in_place


def test_a_derived_key_never_changes_between_versions(tmp_path: Path) -> None:
    derived = secret.read_key("0123456789abcdef", "k", tmp_path)
    assert derived.hex() == "a9047f3ffd7e4aa91545e85deec148b0df5cb102b05f572d6c60ae9b529cc45d"


@pytest.mark.parametrize("text", ["", "short", "0123456789abcde", "   0123456789abcde   "])
def test_a_short_secret_is_refused(tmp_path: Path, text: str) -> None:
    assert "a secret needs at least 16" in fault(text, tmp_path).sentence


def test_the_length_of_a_secret_in_a_file_is_that_of_its_stripped_text(tmp_path: Path) -> None:
    write(tmp_path, b"0123456789abcde\n\n\n")
    assert fault("@web.key", tmp_path).sentence == "has 15 characters, and a secret needs at least 16"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    write(tmp_path, SECRET.encode(), mode)
    assert f"others may use (mode {mode:04o}); chmod 600 it" in fault("@web.key", tmp_path).sentence


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "No such file or directory" in fault("@web.key", tmp_path).sentence


@pytest.mark.parametrize("content", [b"\xff" * 32, b"x" * 4097])
def test_a_file_that_is_no_line_of_text_is_refused(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, content)
    assert "which is " in fault("@web.key", tmp_path).sentence


def test_a_folder_and_a_fifo_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    assert "is not a regular file" in fault("@fifo", tmp_path).sentence
    assert "is not a regular file" in fault("@.", tmp_path).sentence


def test_a_path_with_a_zero_byte_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in fault("@a\0b", tmp_path).sentence


def test_no_sentence_tells_the_secret(tmp_path: Path) -> None:
    write(tmp_path, SECRET[:15].encode())
    assert SECRET[:15] not in str(fault("@web.key", tmp_path))
    assert SECRET[:15] not in str(fault(SECRET[:15], tmp_path))


def test_a_secret_is_a_string(tmp_path: Path) -> None:
    assert "must be a string" in fault(1234567890123456, tmp_path).sentence
