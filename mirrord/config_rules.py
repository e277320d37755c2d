"""What a mirror's configuration must satisfy beyond the types of its values: one function a subject, one sentence a
rule. Nothing on the machine is looked at.

What a farm's configuration must satisfy, too, is in `farmd.kit.cluster_rules`.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

from farmd.errors import ConfigError
from farmd.kit.cluster_rules import (
    check_apart,
    check_keys,
    check_name,
    check_nodes,
    check_timing,
    check_vips,
    check_witness,
)
from farmd.kit.rules import check_interface, check_port, check_range
from farmd.supervision import rules as supervision_rules
from mirrord.config import Config, Mirror, Node
from mirrord.state_folder import STATE
from mirrord.window import Window

NODES = 2

DIRECTORIES_MAX = 16
"""Each is a mount of its own; an application has a handful."""

RATE_MAX_MB_S = 100_000
"""More than any network carries."""

_NOT_OURS = tuple(map(Path, ("/dev", "/proc", "/run", "/sys")))
"""The kernel's, and each boot's own."""


def check(config: Config) -> None:
    """Raise ConfigError for the first rule that the configuration breaks."""
    _check_mirror(config.mirror)
    _check_directories(config.mirror.directories)
    _check_nodes(config.nodes)
    check_apart("mirror", config.nodes, config.mirror.vips, config.mirror.witness)
    _check_preference(config)
    check_timing(config.timing)
    supervision_rules.check(config.services, config.checks)


def _check_mirror(mirror: Mirror) -> None:
    check_name("mirror.name", mirror.name)
    check_keys("mirror.keys", mirror.keys)
    check_vips("mirror.vips", mirror.vips)
    if mirror.vips and not mirror.interface:
        raise ConfigError("mirror.interface", "is missing; virtual addresses need the one that clients come in by")
    if mirror.interface:
        check_interface("mirror.interface", mirror.interface)
    check_port("mirror.port", mirror.port)
    check_witness("mirror.witness", mirror.witness)
    check_range("mirror.resync_rate_mb_s", mirror.resync_rate_mb_s, 0, RATE_MAX_MB_S, "megabytes a second")


def _check_directories(directories: tuple[Path, ...]) -> None:
    if not 1 <= len(directories) <= DIRECTORIES_MAX:
        raise ConfigError("mirror.directories", f"must hold 1 to {DIRECTORIES_MAX} folders, not {len(directories)}")
    keyed = [(f"mirror.directories[{index}]", directory) for index, directory in enumerate(directories)]
    for key, directory in keyed:
        _check_directory(key, directory)
    for (_, one), (key, other) in combinations(keyed, 2):
        if one == other:
            raise ConfigError(key, f"{other} is there twice")
        if one in other.parents:
            raise ConfigError(key, f"{other} is inside of {one}, which is replicated with all that is in it")
        if other in one.parents:
            raise ConfigError(key, f"{one} is inside of {other}, which is replicated with all that is in it")


def _check_directory(key: str, directory: Path) -> None:
    text = str(directory)
    if "\0" in text or any(not character.isprintable() for character in text):
        raise ConfigError(key, "cannot hold characters that cannot be printed")
    if not directory.is_absolute() or ".." in directory.parts:
        raise ConfigError(key, f'must be a full path without "..", not {text!r}')
    if directory == Path("/"):
        raise ConfigError(key, "cannot be the root folder, which holds what differs between the nodes")
    for foreign in _NOT_OURS:
        if directory == foreign or foreign in directory.parents:
            raise ConfigError(key, f"{directory} is in {foreign}, whose content no disk keeps")
    if directory == STATE or directory in STATE.parents or STATE in directory.parents:
        raise ConfigError(key, f"{directory} and {STATE}, where mirrord keeps its own state, cannot be in one another")


def _check_nodes(nodes: tuple[Node, ...]) -> None:
    if len(nodes) != NODES:
        raise ConfigError("node", f"a mirror has two nodes, not {len(nodes)}")
    check_nodes(nodes)


def _check_preference(config: Config) -> None:
    prefer, window = config.mirror.prefer, config.mirror.prefer_window
    if prefer and prefer not in (node.name for node in config.nodes):
        names = " and ".join(node.name for node in config.nodes)
        raise ConfigError("mirror.prefer", f"there is no node {prefer!r}; the nodes are {names}")
    if not window:
        return
    if not prefer:
        raise ConfigError("mirror.prefer_window", "says when to swap to the node that `prefer` names; there is none")
    try:
        Window.parse(window)
    except ValueError as error:
        raise ConfigError("mirror.prefer_window", str(error)) from None
