"""The files that users copy: each is a right configuration, and names what this repository or Debian has."""

from __future__ import annotations

import json
import os
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.mirror import EXAMPLES, NODES, MirrorLab, example, plain
from lab.mirror_takeover import measured
from lab.topology import LAN
from lab.waiting import until
from mirrord import config_file
from tests.lab.mirrors import other
from tests.lab.test_topology import name as lab_name

EVERY = sorted(path.stem for path in EXAMPLES.glob("*.toml"))


def written(folder: Path, text: str) -> Path:
    """The configuration and its key, as a node has them in /etc/farmd."""
    name = tomllib.loads(text)["mirror"]["name"]
    key = folder / f"{name}.key"
    key.write_text("0123456789abcdef" * 4)
    key.chmod(0o600)
    path = folder / f"{name}.toml"
    path.write_text(text.replace("@/etc/farmd/", f"@{folder}/"))
    os.chown(key, os.geteuid(), os.getegid())
    return path


@pytest.mark.parametrize("name", EVERY)
def test_an_example_is_a_right_configuration(tmp_path: Path, name: str) -> None:
    config = config_file.load(written(tmp_path, example(name)))
    assert tuple(node.name for node in config.nodes) == NODES
    assert len(config.services) == 1
    assert config.services[0].stop


def test_lines_are_added_to_the_mirror(tmp_path: Path) -> None:
    config = config_file.load(written(tmp_path, example("notes", prefer='"n2"', ack='"disk"')))
    assert (config.mirror.prefer, config.mirror.ack) == ("n2", "disk")
    config = config_file.load(written(tmp_path, plain("two", ["/srv/a", "/srv/b"], port="5409")))
    assert (config.mirror.name, config.mirror.port) == ("two", 5409)
    assert [str(directory) for directory in config.mirror.directories] == ["/srv/a", "/srv/b"]


# -- each of them, for real --------------------------------------------------------------------------------------------

LIMITS_S = 30.0
OWN_S_MAX = 1.5
"""An application may need some time after its start until it answers, and the machine may be busy."""


def put(lab: MirrorLab, url: str, text: str, *options: str) -> bool:
    """Whether a client could store this."""
    command = ["curl", "-sf", "--max-time", "3", *options, "-d", text, url]
    return lab.exec(LAN, *command, check=False).returncode == 0


def get(lab: MirrorLab, url: str) -> str:
    return lab.exec(LAN, "curl", "-sf", "--connect-timeout", "0.2", "--max-time", "3", url, check=False).stdout


def take_over(lab: MirrorLab, victim: str, service: str, served: Callable[[], bool]) -> None:
    """The node that serves loses its power; what clients wait for is the suspicion, the application and little else."""
    began, began_at = time.monotonic(), time.time()
    lab.kill(victim)
    until(served, f"{service} to be there again", LIMITS_S)
    took = measured(lab, victim, other(victim), began_at, time.monotonic() - began, service)
    print(f"{service}: {took.total_s:.2f} s, {took.suspicion_s:.2f} s suspicion, {took.started_s:.2f} s its start")
    assert took.own_s < OWN_S_MAX


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Iterator[MirrorLab]:
    built = MirrorLab(lab_name(request.param), [example(request.param)])
    built.up(start=False)
    try:
        for node in NODES:
            built.exec(node, "chown", "www-data:", tomllib.loads(example(request.param))["mirror"]["directories"][0])
        built.start_all()
        yield built
    finally:
        built.down()


@pytest.mark.needs_root
@pytest.mark.parametrize("lab", ["uploads"], indirect=True)
def test_an_upload_that_was_accepted_survives_its_server(lab: MirrorLab) -> None:
    url = "http://10.0.0.201:8080"
    first = lab.wait_pair()
    until(lambda: put(lab, f"{url}/a/one", "one", "-X", "PUT"), "an upload", LIMITS_S)
    take_over(lab, first, "nginx", lambda: get(lab, f"{url}/a/one") == "one")
    assert put(lab, f"{url}/two", "two", "-X", "PUT")
    lab.start(first)
    lab.wait_pair()
    lab.farmctl(lab.serving()[0], "swap")
    until(lambda: get(lab, f"{url}/two") == "two" and lab.serving() == [first], "both to be back", LIMITS_S)


@pytest.mark.needs_root
@pytest.mark.parametrize("lab", ["notes"], indirect=True)
def test_a_note_that_was_taken_survives_its_server(lab: MirrorLab) -> None:
    url = "http://10.0.0.202:8090/notes"
    first = lab.wait_pair()
    until(lambda: put(lab, url, "one"), "a note to be taken", LIMITS_S)
    taken = ["one", *(f"note {n}" for n in range(30) if put(lab, url, f"note {n}"))]
    take_over(lab, first, "notes", lambda: get(lab, url) != "")
    assert json.loads(get(lab, url)) == taken
    lab.start(first)
    lab.wait_pair()
