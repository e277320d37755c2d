"""The log: one line per record, and a time stamp only where nobody else adds one."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from farmd.kit import log


@pytest.fixture
def output(tmp_path: Path) -> Iterator[TextIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with (tmp_path / "log").open("w+") as stream:
        yield stream
        for handler in root.handlers[:]:
            root.removeHandler(handler)
        for handler in handlers:
            root.addHandler(handler)
        root.setLevel(level)


def lines(output: TextIO) -> list[str]:
    output.flush()
    output.seek(0)
    return output.read().splitlines()


def test_a_record_is_one_stamped_line(output: TextIO) -> None:
    log.start("info", output)
    logging.getLogger("farmd").info("node %s failed epoch=%d", "n2", 7)
    (line,) = lines(output)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO farmd: node n2 failed epoch=7", line)


def test_a_traceback_stays_on_the_line(output: TextIO) -> None:
    log.start("info", output)
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("farmd").exception("it\rbroke")
    (line,) = lines(output)
    assert r"it\rbroke\nTraceback" in line
    assert line.endswith(r"ValueError: two\nlines")


@pytest.mark.parametrize(("level", "heard"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_is_the_least_that_is_heard(output: TextIO, level: str, heard: int) -> None:
    log.start(level, output)
    for each in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        logging.getLogger("farmd").log(each, "x")
    assert len(lines(output)) == heard


def test_an_unknown_level_is_our_bug() -> None:
    with pytest.raises(AssertionError, match="debug, info, warning, error"):
        log.start("loud")


def test_the_journal_stamps_its_own_stream(output: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    status = os.fstat(output.fileno())
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    log.start("info", output)
    logging.getLogger("farmd").info("x")
    assert lines(output) == ["INFO farmd: x"]


@pytest.mark.parametrize("journal", ["1:1", "nonsense", ""])
def test_another_stream_is_stamped_by_us(output: TextIO, monkeypatch: pytest.MonkeyPatch, journal: str) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", journal)
    log.start("info", output)
    logging.getLogger("farmd").info("x")
    assert lines(output)[0].startswith("20")


def test_starting_again_does_not_say_everything_twice(output: TextIO) -> None:
    log.start("info", output)
    log.start("info", output)
    logging.getLogger("farmd").info("x")
    assert len(lines(output)) == 1
