"""Reading a mirror's configuration: the file, its types (farmd.kit.toml), its rules (config_rules)."""

from __future__ import annotations

import functools
import os
import ssl
from pathlib import Path

from farmd.errors import ConfigError
from farmd.kit import secret, toml
from mirrord import config_rules
from mirrord.config import Config, File, Tls


def load(path: Path) -> Config:
    """Read and validate a configuration file.

    Raises ConfigError with the path of the key at fault, or the file's own when it cannot be read or is not TOML.
    Nothing but this file and the key files it names is touched.
    """
    readers: dict[object, toml.Reader] = {
        bytes: functools.partial(secret.read_key, folder=path.parent),
        Path: _read_path,
        File: lambda value, key: Path(os.path.abspath(path.parent / _read_path(value, key))),
    }
    config = toml.read(toml.parse(path), Config, readers)
    config_rules.check(config)
    return config


def load_here(path: Path) -> Config:
    """The same, for a file that this machine is to live by: its certificates are here, and what its services and checks
    name is installed.

    Raises ConfigError likewise. It may take its time, for it asks systemd and resource agents.
    """
    config = load(path)
    if config.mirror.tls is not None:
        _check_tls(config.mirror.tls)
    if config.services or config.checks:
        from farmd.supervision import machine  # who has nothing to look after does not load it

        machine.check(config.services, config.checks)
    return config


def _check_tls(tls: Tls) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(tls.ca)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError("mirror.tls.ca", f"{tls.ca} cannot be used: {error.strerror or error}") from None
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except OSError as error:
        which = f"{tls.certificate} with the key {tls.key}"
        raise ConfigError("mirror.tls.certificate", f"{which} cannot be used: {error.strerror or error}") from None


def _read_path(value: object, key: str) -> Path:
    if not isinstance(value, str):
        raise ConfigError(key, "must be a string, a path")
    if not value:
        raise ConfigError(key, "is empty")
    return Path(value)
