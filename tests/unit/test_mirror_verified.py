"""What `farmctl verify` says of what was found."""

from __future__ import annotations

import pytest

from farmd.commands.mirrors import _differing

REPAIR = "(`farmctl resync` makes the other node equal to this one):"


@pytest.mark.parametrize(
    ("count", "told", "text"),
    [
        (0, [], "both nodes have the same"),
        (1, ["/a: content"], f"one path differs {REPAIR}\n  /a: content"),
        (2, ["/a: size", "/b: owner"], f"2 paths differ {REPAIR}\n  /a: size\n  /b: owner"),
        (7, ["/a: size"], f"7 paths differ, of which the first 1 are told {REPAIR}\n  /a: size"),
    ],
)
def test_what_differs_is_told(count: int, told: list[str], text: str) -> None:
    assert _differing({"count": count, "differing": told}) == text
