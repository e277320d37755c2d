"""How targets of checks are written: HOST:PORT, URLs, status codes. ValueError, with a sentence, for what is not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_HOST = r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.%A-Za-z0-9]+\]"
_TARGET = re.compile(rf"({_HOST}):([0-9]{{1,5}})")
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
    found = _TARGET.fullmatch(text)
    if not found:
        raise ValueError(f"must be HOST:PORT, such as 127.0.0.1:80 or [::1]:80, not {text!r}")
    return found[1].strip("[]"), _port(int(found[2]))


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
    if not re.fullmatch(_HOST, f"[{host}]" if ":" in host else host):
        raise ValueError("must name a host")
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


def _port(port: int) -> int:
    if not 1 <= port <= 65535:
        raise ValueError(f"a port is 1 to 65535, not {port}")
    return port
