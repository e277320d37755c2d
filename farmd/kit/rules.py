"""Rules about values that several configurations have in common, as ConfigError with the key's path."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from ipaddress import IPv4Address, IPv6Address

from farmd.errors import ConfigError
from farmd.kit.toml import Address

_INTERFACE_NAME = re.compile(r"[!-.0-9;-~]{1,15}")  # printable, without "/" and ":" (the kernel's dev_valid_name)


def check_host(key: str, address: Address) -> None:
    """The address can be one host's, and is written in its own family."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        raise ConfigError(key, f"{address} is an IPv4 address in IPv6 form; write {address.ipv4_mapped}")
    if address.is_unspecified:
        raise ConfigError(key, f"{address} is the unspecified address")
    if address.is_multicast:
        raise ConfigError(key, f"{address} is a multicast address, and a host's is needed")
    this_network = isinstance(address, IPv4Address) and address.packed[0] == 0
    if this_network or (address.is_reserved and not address.is_loopback):
        raise ConfigError(key, f"{address} is reserved and can be no host's address")


def check_interface(key: str, name: str) -> None:
    """The kernel would accept the name."""
    if not _INTERFACE_NAME.fullmatch(name) or name in (".", ".."):
        raise ConfigError(key, f"{name!r} cannot be the name of an interface")


def check_port(key: str, port: int) -> None:
    """A TCP or UDP port that something can listen at."""
    if not 1 <= port <= 65535:
        raise ConfigError(key, f"must be 1 to 65535, not {port}")


def check_range(key: str, value: float, least: float, most: float, unit: str = "") -> None:
    """least <= value <= most."""
    if not least <= value <= most:
        raise ConfigError(key, f"must be {least:g} to {most:.12g}{unit and ' '}{unit}, not {value:g}")


def check_distinct(values: Iterable[tuple[str, Hashable]]) -> None:
    """No two keys have the same value; the sentence shows keys only, since a value may be a secret."""
    seen: dict[Hashable, str] = {}
    for key, value in values:
        if value in seen:
            raise ConfigError(key, f"is the same as {seen[value]}")
        seen[value] = key
