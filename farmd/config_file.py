"""Reading a configuration: the file, its types (kit.toml), its rules (config_rules)."""

from __future__ import annotations

import functools
from pathlib import Path

from farmd import config_rules
from farmd.config import Config
from farmd.kit import secret, toml


def load(path: Path) -> Config:
    """Read and validate a configuration file.

    Raises ConfigError with the path of the key at fault, or the file's own when it cannot be read or is not TOML.
    Nothing but this file and the key files it names is touched.
    """
    read_key = functools.partial(secret.read_key, folder=path.parent)
    config = toml.read(toml.parse(path), Config, {bytes: read_key})
    config_rules.check(config)
    return config


def load_here(path: Path) -> Config:
    """The same, for a file that this machine is to live by: what its services and checks name is installed here.

    Raises ConfigError likewise. It may take its time, for it asks systemd and resource agents.
    """
    config = load(path)
    if config.services or config.checks:
        from farmd.supervision import machine  # who has nothing to look after does not load it

        machine.check(config.services, config.checks)
    return config
