"""Two nodes that are not alike: their clocks are apart, or one has another version of the program."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import services
from lab.mirror import NODES, PYTHON, MirrorLab, quick
from lab.waiting import until
from mirrord.codec import LAYOUTS
from mirrord.volume.link.greeting import VERSIONS
from tests.lab.changed import program
from tests.lab.mirrors import DATA, Recording, missing, wait_equal
from tests.lab.test_topology import name
from tests.posix.ledger import Ledger

pytestmark = pytest.mark.needs_root

AHEAD_S = 3600
AN_HOUR_AHEAD = (
    PYTHON,
    "-c",
    f"import time; now = time.time_ns; time.time_ns = lambda: now() + {AHEAD_S} * 10**9; "
    "from mirrord.program import main; main()",
)
NEWEST = VERSIONS[1]
GREETING, CODEC = "mirrord/volume/link/greeting.py", "mirrord/codec.py"
LATER = f"{DATA}/later"
"""Made while n2 takes no part."""
WITHIN_S = 15.0


@pytest.fixture(scope="module")
def built() -> Iterator[MirrorLab]:
    with MirrorLab(name("unlike"), [quick()]) as lab:
        yield lab


@pytest.fixture
def lab(built: MirrorLab) -> Iterator[MirrorLab]:
    """n1 serves alone; what n2 runs is for the test to say. At the end both are alike again, and a pair."""
    assert built.wait_pair() == "n1"
    built.exec("n1", "sh", "-c", f"rm -rf {DATA}/*")
    built.stop("n2")
    built.exec("n1", "touch", LATER)
    yield built
    for node in NODES:
        built.stop(node)
    for node in NODES:
        built.start(node)
    if built.wait_pair() == "n2":
        built.farmctl("n1", "swap")


def speaking(folder: Path, oldest: int, newest: int) -> tuple[str, ...]:
    """A mirrord that speaks these versions of the stream."""
    return program(folder, {GREETING: {f"VERSIONS = {VERSIONS}": f"VERSIONS = {(oldest, newest)}"}})


def grown(folder: Path) -> tuple[str, ...]:
    """The next version: it speaks another one of the stream, too, and its heartbeats have grown by a field, which ours
    do not have."""
    history = "            *map(_pack_generation, state.history),"
    read = "        word = _read_word(reader)"
    take = f'        assert frame.payload[1] == {LAYOUTS[1]} or reader.take(struct.Struct("5s")) == (b"field",)'
    heartbeats = {
        f"LAYOUTS = {LAYOUTS}": f"LAYOUTS = {(LAYOUTS[1], LAYOUTS[1] + 1)}",
        history: f'{history}\n            b"field",',
        read: f"{read}\n{take}",
    }
    stream = {f"VERSIONS = {VERSIONS}": f"VERSIONS = {(NEWEST, NEWEST + 1)}"}
    return program(folder, {GREETING: stream, CODEC: heartbeats})


def told(lab: MirrorLab, node: str, sentence: str) -> None:
    """Wait until a node's events have this sentence."""
    until(lambda: any(sentence in event["text"] for event in lab.status(node)["events"]), sentence, WITHIN_S)


def test_clocks_that_are_apart_are_told_of_and_nothing_depends_on_them(lab: MirrorLab) -> None:
    ledger = Ledger()
    lab.start("n2", program=AN_HOUR_AHEAD)
    with Recording(lab, ledger, "n1") as recording:
        assert lab.wait_pair() == "n1"
        recording.wait_more(200)
        for node, apart_s in zip(NODES, (AHEAD_S, -AHEAD_S), strict=True):
            told(lab, node, f"the clocks of the two nodes are {AHEAD_S:.1f} s apart")
            assert lab.status(node)["clocks_apart_s"] == pytest.approx(apart_s, abs=1)
            assert f"{AHEAD_S:.1f} s apart" in lab.exec(node, *services.farmctl("status")).stdout
        lab.farmctl("n1", "swap")
        assert lab.wait_pair() == "n2"
    assert missing(lab, ledger, "n2") == []
    wait_equal(lab)


def test_a_newer_version_that_speaks_ours_too_takes_part(lab: MirrorLab, tmp_path: Path) -> None:
    """One node is upgraded, serves, and the other one follows it."""
    ledger = Ledger()
    newer = grown(tmp_path)
    lab.start("n2", program=newer)
    with Recording(lab, ledger, "n1") as recording:
        assert lab.wait_pair() == "n1"
        recording.wait_more(200)
        lab.farmctl("n1", "swap")
        assert lab.wait_pair() == "n2"
    with Recording(lab, ledger, "n2") as recording:
        recording.wait_more(200)
        lab.stop("n1")
        lab.start("n1", program=newer)
        assert lab.wait_pair() == "n2"
        recording.wait_more(200)
    assert missing(lab, ledger, "n2") == []
    wait_equal(lab)


def test_a_version_that_is_too_far_away_is_refused_before_data_is_touched(lab: MirrorLab, tmp_path: Path) -> None:
    far = NEWEST + 2
    lab.start("n2", program=speaking(tmp_path, far - 1, far))
    told(lab, "n1", f"cannot be linked: node n2 speaks version {far} of the stream, this one {NEWEST}")
    told(lab, "n2", f"cannot be linked: node n1 speaks version {NEWEST} of the stream, this one {far}")
    until(lambda: "speaks version" in lab.status("n2")["reason"], "n2 to say why it waits", WITHIN_S)
    assert "speaks version" in lab.status("n1")["no_link"]
    check_refused(lab)


def test_a_volume_that_speaks_ours_no_more_is_refused_by_the_other_volume(lab: MirrorLab, tmp_path: Path) -> None:
    """The daemons know the newest versions only, and take the ones before for granted."""
    lab.start("n2", program=speaking(tmp_path, NEWEST + 1, NEWEST + 1))
    refused = "speaks versions {0} to {0} of the stream and its peer {1} to {2}; upgrade the older one"
    sentence = refused.format(NEWEST + 1, *VERSIONS)
    for node in NODES:
        told(lab, node, sentence)
        assert sentence in lab.status(node)["no_link"]
        assert sentence in lab.exec(node, *services.farmctl("status")).stdout.replace("\n", " ")
    check_refused(lab)
    lab.stop("n2")
    lab.start("n2")
    assert lab.wait_pair() == "n1"
    assert [lab.status(node)["no_link"] for node in NODES] == ["", ""]


def test_heartbeats_of_another_layout_are_told_of(lab: MirrorLab, tmp_path: Path) -> None:
    later = (LAYOUTS[1] + 1, LAYOUTS[1] + 1)
    lab.start("n2", program=program(tmp_path, {CODEC: {f"LAYOUTS = {LAYOUTS}": f"LAYOUTS = {later}"}}))
    for node in NODES:
        told(lab, node, "heartbeats of another version arrive: the two programs may be one version apart, not more")
    check_refused(lab)


def check_refused(lab: MirrorLab) -> None:
    """n1 serves on, and n2 has neither taken anything nor serves."""
    assert (lab.status("n1")["role"], lab.status("n1")["readiness"]) == ("ALONE", "ready")
    assert lab.status("n2")["role"] in ("WAIT", "SECOND")
    assert not lab.status("n2")["in_sync"]
    assert lab.exec("n2", "test", "-e", LATER, check=False).returncode == 1
