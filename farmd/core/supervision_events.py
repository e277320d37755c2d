"""What the attendant reports: results of checks, and ends of starts and stops."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Probed:
    """A check was tried."""

    name: str
    passed: bool
    text: str
    """What was seen, in a few words."""
    took_ms: float


@dataclass(frozen=True, slots=True)
class Started:
    """A service's start has ended."""

    service: str
    ok: bool
    text: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """A service's stop has ended."""

    service: str
    ok: bool
    text: str
    forced: bool
    """It had to be killed."""


Report = Probed | Started | Stopped
