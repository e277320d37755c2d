"""Numbers as people read them: at most six characters each, units apart."""

from __future__ import annotations

ABSENT = "-"


def rate(per_s: float) -> str:
    """Something per second, such as 873, 12.3k or 4.5M."""
    units = iter(" kMG")
    unit = next(units)
    while per_s >= 999.5 and unit != "G":
        per_s, unit = per_s / 1000, next(units)
    return f"{per_s:.0f}" if unit == " " else f"{per_s:.1f}{unit}" if per_s < 99.95 else f"{per_s:.0f}{unit}"


def size(size_bytes: float) -> str:
    """Such as 873 B, 12.3 kB or 4.5 MB; a unit is a thousand of the one before."""
    text = rate(size_bytes)
    return f"{text} B" if text[-1].isdigit() else f"{text[:-1]} {text[-1]}B"


def milliseconds(value_ms: float) -> str:
    """A duration with three digits, without its unit."""
    if value_ms < 9.995:
        return f"{value_ms:.2f}"
    return f"{value_ms:.1f}" if value_ms < 99.95 else f"{min(value_ms, 999999):.0f}"


def age(seconds: float) -> str:
    """How long ago: 5 s, 12 min, 3 h, 40 d. What the clock was set back over counts as just now."""
    seconds = max(0.0, seconds)
    for unit, length_s, last in (("s", 1, 120), ("min", 60, 120), ("h", 3600, 48)):
        if seconds < last * length_s:
            return f"{int(seconds // length_s)} {unit}"
    return f"{int(min(seconds // 86400, 9999))} d"
