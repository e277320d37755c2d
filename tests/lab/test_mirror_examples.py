"""The files that users copy: each is a right configuration, and names what this repository or Debian has."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from lab.mirror import EXAMPLES, NODES, example, plain
from mirrord import config_file

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
