"""How targets of checks are written: HOST:PORT, URLs, status codes. ValueError, with a sentence, for what is not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from urllib.parse import urlsplit

_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_AUTHORITY = re.compile(r"([^\[\]:]+|\[[^\[\]]+\])(?::([0-9]{1,5}))?")
_CODES = re.compile(r"([0-9]{3})(?:-([0-9]{3}))?")
_PRINTABLE = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Url:
    """Where to ask, and what for."""

    tls: bool
    host: str
    port: int
    path: str
    """Path and query, as in the request."""
    authority: str
    """Host and port as in the Host header: the port only where it is not the scheme's own."""


def host_and_port(text: str) -> tuple[str, int]:
    """HOST:PORT; an IPv6 address stands in brackets."""
    host, port = authority(text)
    if port is None:
        raise ValueError(f"must be HOST:PORT, such as 127.0.0.1:80 or [::1]:80, not {text!r}")
    return host, port


def authority(text: str) -> tuple[str, int | None]:
    """HOST or HOST:PORT."""
    found = _AUTHORITY.fullmatch(text)
    if not found:
        raise ValueError(f"must be HOST:PORT, such as 127.0.0.1:80 or [::1]:80, not {text!r}")
    return _host(found[1]), None if found[2] is None else _port(int(found[2]))


def url(text: str) -> Url:
    """An http or https URL."""
    if not _PRINTABLE.fullmatch(text):
        raise ValueError("must be a URL of printable ASCII characters; write others as %XX")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ValueError(f"is not a URL: {str(error)[:1].lower()}{str(error)[1:]}") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError("must begin with http:// or https://")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or a password")
    if parts.fragment:
        raise ValueError("must not have a fragment (#...), which is never sent")
    if not host:
        raise ValueError("must name a host")
    _host(f"[{host}]" if ":" in host else host)
    own_port = 443 if parts.scheme == "https" else 80
    port = own_port if port is None else _port(port)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    name = f"[{host}]" if ":" in host else host
    return Url(parts.scheme == "https", host, port, path, name if port == own_port else f"{name}:{port}")


def status_codes(text: str) -> frozenset[int]:
    """Status codes such as "200,204" or "200-399"."""
    codes: set[int] = set()
    for part in text.split(","):
        found = _CODES.fullmatch(part.strip())
        if not found:
            raise ValueError(f'must be status codes such as "200,204" or "200-399", not {text!r}')
        first, last = int(found[1]), int(found[2] or found[1])
        if not 100 <= first <= last <= 599:
            raise ValueError(f"status codes go from 100 to 599, the lower one first, not {part.strip()}")
        codes.update(range(first, last + 1))
    return frozenset(codes)


def _host(text: str) -> str:
    """A name or an address, without brackets."""
    try:
        if text.startswith("["):
            return str(IPv6Address(text[1:-1]))
    except ValueError:
        raise ValueError(f"{text} is no IPv6 address") from None
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text!r} cannot be the name of a host")
    return text


def _port(port: int) -> int:
    if not 1 <= port <= 65535:
        raise ValueError(f"a port is 1 to 65535, not {port}")
    return port
