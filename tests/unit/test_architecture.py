"""Who may know whom, and how large a room may get: read from the syntax trees, nothing is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from bpf import layout
from farmd.core.buckets import State
from farmd.core.view import BUCKETS

ROOT = Path(__file__).resolve().parents[2]
LINES_MAX = 350
FUNCTION_LINES_MAX = 70
OUTSIDE_WORLD = {"socket", "time", "random", "os", "asyncio", "logging", "bcc", "pyroute2", "subprocess", "threading",
                 "pathlib", "datetime", "secrets", "select", "signal", "sys", "bpf", "lab", "tests"}  # fmt: skip


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported(path: Path) -> Iterator[str]:
    """The full names of all modules that a file imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)} imports relatively"
            assert node.module is not None
            # `from farmd import flows` imports farmd.flows; of other names the module is what counts.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


@pytest.mark.parametrize("path", sources("farmd/core"), ids=name)
def test_the_core_knows_nothing_of_the_outside_world(path: Path) -> None:
    for module in imported(path):
        assert not within(module, *OUTSIDE_WORLD), f"{name(path)} imports {module}"
        assert not within(module, "farmd") or within(module, "farmd.core"), f"{name(path)} imports {module}"


@pytest.mark.parametrize("path", sources("mirrord/core"), ids=name)
def test_the_core_of_a_mirror_knows_a_farms_core_and_its_own_orders(path: Path) -> None:
    for module in imported(path):
        assert not within(module, *OUTSIDE_WORLD), f"{name(path)} imports {module}"
        inside = within(module, "farmd.core", "mirrord.core", "mirrord.orders")
        assert inside or not within(module, "farmd", "mirrord"), f"{name(path)} imports {module}"


@pytest.mark.parametrize("path", sources("farmd/kit"), ids=name)
def test_the_kit_knows_nothing_above_it(path: Path) -> None:
    for module in imported(path):
        assert not within(module, "farmd", "bpf", "lab") or within(module, "farmd.kit", "farmd.errors"), (
            f"{name(path)} imports {module}"
        )


@pytest.mark.parametrize("path", sources("healthcheck"), ids=name)
def test_the_health_page_knows_the_daemon_by_its_socket_only(path: Path) -> None:
    for module in imported(path):
        assert not within(module, "farmd", "bpf") or within(module, "farmd.kit", "farmd.errors"), (
            f"{name(path)} imports {module}"
        )


@pytest.mark.parametrize("path", sources("farmd", "bpf", "healthcheck", "mirrord"), ids=name)
def test_the_product_is_not_built_on_lab_or_tests(path: Path) -> None:
    for module in imported(path):
        assert not within(module, "tests", "lab"), f"{name(path)} imports {module}"


@pytest.mark.parametrize("path", sources("farmd", "bpf", "healthcheck", "mirrord", "lab"), ids=name)
def test_a_module_is_one_room(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= LINES_MAX, f"{name(path)} holds more than one idea"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < FUNCTION_LINES_MAX, f"{name(path)}: {node.name} is too long"


def test_the_states_have_the_numbers_of_the_filter() -> None:
    assert {state.name: state.value for state in State} == layout.enum("bucket_state")


def test_there_are_as_many_buckets_as_in_the_filter() -> None:
    assert layout.number("BUCKETS") == BUCKETS
