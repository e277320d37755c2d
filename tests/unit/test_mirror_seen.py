"""What people are told of a volume: rates, latencies, progress, what was kept; and of a peer that is not heard."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from farmd.errors import MachineError
from mirrord.figures import quantile
from mirrord.orders import Alive, InSync, Kept, Lead, Progress, Verified, Verify
from mirrord.refusals import TELLING, Refusals
from mirrord.reloading import reload
from mirrord.seen import Seen
from tests.unit.test_mirror_config import VALID, added, changed, load


def test_what_the_peer_keeps_is_told_once_and_is_not_here(tmp_path: Path) -> None:
    seen = Seen(tmp_path)
    for files in (1, 7):
        seen.take(Kept("/var/lib/mirrord/db/diverged/2026", files))
    assert seen.kept_there() == Kept("/var/lib/mirrord/db/diverged/2026", 7)
    assert seen.kept_there() is None
    assert seen.diverged is None


def test_quantiles_are_the_bounds_of_their_buckets() -> None:
    histogram = [(64, 50), (128, 49), (4096, 1)]
    assert quantile(histogram, 0.5) == 0.064
    assert quantile(histogram, 0.99) == 0.128
    assert quantile(histogram, 1) == 4.096
    assert quantile([], 0.5) is None
    assert quantile([(64, 0)], 0.5) is None


def test_figures_are_rates_and_a_histogram_that_only_grows(tmp_path: Path) -> None:
    seen = Seen(tmp_path)
    for _ in range(2):
        seen.take(Alive({"changes": 100, "bytes": 4096, "latency_us": {"64": 90, "128": 10}, "held": 3}))
    figures = seen.figures.all()
    assert figures["writes_s"] > 100
    assert figures["latency_ms"] == {"p50": 0.064, "p99": 0.128, "histogram": {"0.064": 180, "0.128": 20}}
    assert (figures["held"], figures["zones"]) == (3, 0)
    seen.lose()
    figures = seen.figures.all()
    assert (figures["writes_s"], figures["latency_ms"]["p50"], figures["held"]) == (0, None, 0)
    assert figures["latency_ms"]["histogram"] == {"0.064": 180, "0.128": 20}


def test_progress_is_there_until_it_is_over(tmp_path: Path) -> None:
    seen = Seen(tmp_path)
    assert seen.progress() is None
    seen.take(Progress(100, 1000, 10, 1, 9))
    seen.take(Progress(600, 1000, 10, 5, 9))
    progress = seen.progress()
    assert progress is not None
    assert (progress["done_bytes"], progress["total_bytes"]) == (600, 1000)
    assert progress["rate_bytes_s"] > 0
    assert progress["left_s"] is not None
    seen.take(InSync())
    assert seen.progress() is None


def test_what_a_comparison_found_is_kept_until_the_next_one(tmp_path: Path) -> None:
    seen = Seen(tmp_path)
    seen.order(Verify())
    seen.take(Verified(["a/b"], 1))
    assert seen.verified is not None
    assert (seen.verified["differing"], seen.verified["count"]) == (["a/b"], 1)
    for resync, told in (("journal", True), ("everything", False)):
        seen.order(Lead([2, 1], resync))  # type: ignore[arg-type]
        seen.take(InSync())
        assert (seen.verified is not None) is told


def test_a_comparison_that_cannot_end_has_failed(tmp_path: Path) -> None:
    seen = Seen(tmp_path)
    seen.lose()
    assert seen.verified is None
    seen.order(Verify())
    seen.lose()
    assert seen.verified is not None
    assert seen.verified["failure"] == "the volume has ended"


def test_diverged_files_are_told_of_until_somebody_has_looked(tmp_path: Path) -> None:
    folder = tmp_path / "diverged/2026-11-21T14-03-59"
    folder.mkdir(parents=True)
    (folder / "0").mkdir()
    (folder / "0" / "file").touch()
    seen = Seen(tmp_path)
    seen.look_at_diverged()
    assert seen.diverged is not None
    assert (seen.diverged["folder"], seen.diverged["files"]) == (str(folder), 1)
    after_a_restart = Seen(tmp_path)
    after_a_restart.look_at_diverged()
    assert after_a_restart.diverged is not None
    assert (after_a_restart.diverged["folder"], after_a_restart.diverged["files"]) == (str(folder), 1)
    (tmp_path / "diverged/2026-11-22T14-03-59/0/folder").mkdir(parents=True)
    (tmp_path / "diverged/2026-11-22T14-03-59/0/folder/another").touch()
    after_a_restart.look_at_diverged()
    assert (after_a_restart.diverged["folder"], after_a_restart.diverged["files"]) == (str(folder.parent), 2)
    assert seen.looked() == str(tmp_path / "looked-at")
    assert seen.diverged is None
    assert (tmp_path / "looked-at/2026-11-21T14-03-59").is_dir()
    after_a_restart.look_at_diverged()
    assert after_a_restart.diverged is None
    with pytest.raises(MachineError, match="no files of a diverged side are kept here"):
        seen.looked()


def test_a_peer_that_cannot_be_heard_is_told_of_once() -> None:
    refusals = Refusals()
    assert list(refusals.new({"Forged": 5}, heard=True)) == []
    assert list(refusals.new({"Forged": 5}, heard=False)) == [], "these came before"
    assert list(refusals.new({"Forged": 6}, heard=False)) == [TELLING["Forged"]]
    assert list(refusals.new({"Forged": 7}, heard=False)) == []
    assert list(refusals.new({"Forged": 8}, heard=True)) == []
    assert list(refusals.new({"Forged": 9, "OtherVersion": 1}, heard=False)) == [
        TELLING["Forged"],
        TELLING["OtherVersion"],
    ]


def test_a_reload_takes_what_it_can_and_names_the_rest(tmp_path: Path) -> None:
    running = load(tmp_path, VALID)
    assert reload(tmp_path / "db.toml", running) == (running, ["the configuration has not changed"])
    load(tmp_path, added("resync_rate_mb_s = 5").replace('name = "n2"', 'name = "n3"'))
    config, told = reload(tmp_path / "db.toml", running)
    assert config == dataclasses.replace(running, mirror=dataclasses.replace(running.mirror, resync_rate_mb_s=5.0))
    assert told[0] == "mirror.resync_rate_mb_s is 5.0 from now on"
    assert [sentence.partition(" has changed; ")[0] for sentence in told[1:]] == ["[node]"]
    load(tmp_path, changed('interface = "eth0"', 'interface = "eth1"'))
    assert [sentence.partition(" has changed; ")[0] for sentence in reload(tmp_path / "db.toml", running)[1]] == [
        "mirror.interface"
    ]
