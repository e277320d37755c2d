"""What of a changed configuration is taken over by a running daemon, and what waits for its next start."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from mirrord.config import Config
from mirrord.config_file import load

AT_ONCE = ("prefer_window", "resync_rate_mb_s")
"""Keys of [mirror]."""

LATER = (
    "{} has changed; it counts after a restart of mirrord, first on the node that follows, then, after `farmctl swap`, "
    "on the other one"
)


def reload(path: Path, running: Config) -> tuple[Config, list[str]]:
    """The configuration from now on, and a sentence for each change. ConfigError if the file is wrong."""
    wanted = load(path)
    now = {key: getattr(wanted.mirror, key) for key in AT_ONCE}
    taken = [key for key, value in now.items() if value != getattr(running.mirror, key)]
    config = dataclasses.replace(running, mirror=dataclasses.replace(running.mirror, **now))
    sentences = [f"mirror.{key} is {now[key]} from now on" for key in taken]
    sentences += [LATER.format(key) for key in _different(config, wanted)]
    return config, sentences or ["the configuration has not changed"]


def _different(one: Config, other: Config) -> list[str]:
    """The keys that differ; of [mirror] each by itself."""
    keys = [
        f"mirror.{field.name}"
        for field in dataclasses.fields(one.mirror)
        if getattr(one.mirror, field.name) != getattr(other.mirror, field.name)
    ]
    parts = [field for field in dataclasses.fields(one) if field.name != "mirror"]
    keys += [
        f"[{field.metadata.get('key', field.name)}]"
        for field in parts
        if getattr(one, field.name) != getattr(other, field.name)
    ]
    return keys
