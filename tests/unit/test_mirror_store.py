"""What survives a power failure: written as a whole, never guessed."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from farmd.errors import MachineError
from mirrord.core.generations import Condition, Generation, State
from mirrord.store import Store

STATE = State(Generation(3, 1), (Generation(2, 2), Generation(1, 1)), Condition.ALONE, served=True)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "db")
    yield store
    store.close()


def test_a_new_node_knows_nothing(store: Store) -> None:
    assert store.load() == State()


def test_what_is_saved_is_loaded_by_the_next_one(store: Store, tmp_path: Path) -> None:
    for state in (State(), STATE):
        store.save(state)
        assert Store(tmp_path / "db").load() == state


def test_nobody_else_may_look(store: Store, tmp_path: Path) -> None:
    assert (tmp_path / "db").stat().st_mode & 0o777 == 0o700


def test_what_is_half_written_does_not_count(store: Store, tmp_path: Path) -> None:
    store.save(STATE)
    (tmp_path / "db/state.spare").write_text('{"version": 1, "sta')
    assert store.load() == Store(tmp_path / "db").load() == STATE
    store.save(State())
    assert store.load() == State()


GOOD = json.dumps({"generation": {"number": 1, "node": 1}, "history": [], "condition": "insync", "served": True})


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "it is damaged"),
        ("\0" * 100, "it is damaged"),
        ("[]", "it is damaged"),
        ("{}", "it is damaged"),
        ("[" * 100_000, "it is larger than 65536 bytes"),
        ("[" * 50_000, "it is damaged"),
        (f'{{"version": 2, "state": {GOOD}}}', "it is of version 2, and this program reads 1"),
        (
            f'{{"version": 1, "state": {GOOD.replace("insync", "fine")}}}',
            "it is damaged: condition: 'fine' is no condition",
        ),
        (
            f'{{"version": 1, "state": {GOOD.replace("true", "1")}}}',
            "it is damaged: served: must be true or false, not an integer",
        ),
        (
            f'{{"version": 1, "state": {GOOD.replace("[]", "[7]")}}}',
            "it is damaged: history[0]: must be a table, not an integer",
        ),
    ],
)
def test_what_cannot_be_relied_upon_is_refused(store: Store, tmp_path: Path, content: str, why: str) -> None:
    (tmp_path / "db/state.json").write_text(content)
    with pytest.raises(MachineError) as caught:
        store.load()
    assert str(caught.value) == (
        f"{tmp_path}/db/state.json cannot be read ({why}), so it is not known whether this node's data is up to date; "
        "when the other node has the data, remove the file"
    )


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match=r"file/db cannot be made: Not a directory$"):
        Store(tmp_path / "file/db")


def test_saving_does_not_hold_up_the_loop_and_tells_what_failed(store: Store, tmp_path: Path) -> None:
    async def run() -> list[OSError | None]:
        outcomes: list[OSError | None] = []
        both = asyncio.Event()

        def done(error: OSError | None) -> None:
            outcomes.append(error)
            if len(outcomes) == 2:
                both.set()

        store.save_soon(STATE, done)
        assert outcomes == [], "it is called in the loop, later"
        while not outcomes:
            await asyncio.sleep(0.001)
        os.rename(tmp_path / "db", tmp_path / "gone")
        store.save_soon(State(), done)
        await both.wait()
        return outcomes

    first, second = asyncio.run(run())
    assert first is None
    assert isinstance(second, FileNotFoundError)
    os.rename(tmp_path / "gone", tmp_path / "db")
    assert store.load() == STATE
