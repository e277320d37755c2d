"""README's tables of keys say what the configuration's dataclasses say: every key, and its default."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from farmd import config as farm
from farmd.supervision import schema
from mirrord import config as mirror

README = Path(__file__).resolve().parents[2] / "README.md"

TABLES = {
    "## Configuration": {
        "farm": farm.Farm, "node": farm.Node, "rule": farm.Rule, "timing": farm.Timing,
    },
    "### Configuration of a mirror": {"mirror": mirror.Mirror, "node": mirror.Node, "timing": mirror.Timing},
}  # fmt: skip


def rows(heading: str) -> dict[str, tuple[str, str]]:
    """What the first table of a section says of each key: its default, and its meaning."""
    section = README.read_text().split(f"\n{heading}\n", 1)[1].split("\n#", 1)[0]
    found: dict[str, tuple[str, str]] = {}
    for line in re.findall(r"^\| `.*\|$", section, re.MULTILINE):
        keys, default, meaning = (cell.strip() for cell in line.strip("|").split("|", 2))
        found |= dict.fromkeys(re.findall(r"`([^`]+)`", keys), (default, meaning))
    return found


def told(field: dataclasses.Field[Any]) -> str:
    """A field's default as README writes it; nothing where there is none."""
    default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    match default:
        case dataclasses.MISSING:
            return ""
        case "" | () | None:
            return "none"
        case str():
            return f"`{default}`"
        case int() | float():
            return f"{default:g}"
    raise AssertionError(f"how is {default!r} written?")


@pytest.mark.parametrize("heading", TABLES)
def test_every_key_is_there_with_its_default(heading: str) -> None:
    wanted = {
        f"{table}.{field.name}": told(field)
        for table, kind in TABLES[heading].items()
        for field in dataclasses.fields(kind)
    }
    assert {key: default for key, (default, _) in rows(heading).items()} == wanted


def test_the_parts_of_tls_are_told() -> None:
    _, meaning = rows("### Configuration of a mirror")["mirror.tls"]
    assert [field.name for field in dataclasses.fields(mirror.Tls)] == re.findall(r"(\w+) = ", meaning)


def test_every_key_of_services_and_checks_is_told() -> None:
    section = README.read_text().split("\n## Services and checks\n", 1)[1].split("\n## ", 1)[0]
    words = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`[^`\n]+`", section))))
    for kind in (schema.Service, schema.Check):
        assert {field.name for field in dataclasses.fields(kind)} - words == set(), kind.__name__


def test_pictures_that_are_shown_are_there() -> None:
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", README.read_text())
    assert len(pictures) == 2
    assert [name for name in pictures if not (README.parent / name).is_file()] == []
