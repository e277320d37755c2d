"""Targets of checks and command lines under any input, and messages to the attendant and back."""

from __future__ import annotations

import contextlib
import shlex
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farmd.core.supervision_events import Probed, Started, Stopped
from farmd.supervision import messages
from farmd.supervision.commands import LINE_CHARACTERS_KEPT, Outcome
from farmd.supervision.messages import Alive, Assignment, Begin, End, ProbeNow
from farmd.supervision.schema import Check, Service
from farmd.supervision.targets import host_and_port, status_codes, url
from farmd.supervision.words import words

codes = st.integers(100, 599)
spans = st.tuples(codes, codes).map(sorted)
hosts = st.sampled_from(["localhost", "www.example.com", "10.0.0.1", "[::1]", "[fd00::1:2]"])
ports = st.integers(1, 65535)
texts = st.text(max_size=60)


@given(st.lists(st.one_of(codes.map(lambda code: [code, code]), spans), min_size=1, max_size=8), st.booleans())
def test_status_codes_are_those_that_are_written(written: list[list[int]], spaced: bool) -> None:
    parts = [str(first) if first == last else f"{first}-{last}" for first, last in written]
    expected = {code for first, last in written for code in range(first, last + 1)}
    assert status_codes((", " if spaced else ",").join(parts)) == expected


@given(st.text("0123456789-, x", max_size=20))
def test_other_status_codes_are_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert all(100 <= code <= 599 for code in status_codes(text))


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1).filter(
    lambda drawn: bool(drawn[0])))  # fmt: skip
def test_words_are_what_a_shell_would_see(drawn: list[str]) -> None:
    assert words(shlex.join(drawn)) == drawn


@given(texts)
def test_other_command_lines_are_refused(line: str) -> None:
    with contextlib.suppress(ValueError):
        assert words(line)[0]


@given(hosts, ports)
def test_host_and_port(host: str, port: int) -> None:
    assert host_and_port(f"{host}:{port}") == (host.strip("[]"), port)


@given(texts)
def test_other_targets_are_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert 1 <= host_and_port(text)[1] <= 65535
    with contextlib.suppress(ValueError):
        assert url(text).host


@given(st.booleans(), hosts, st.none() | ports, st.from_regex(r"(/[!-\"$->@-~]*(\?[!-\"$-~]*)?)?", fullmatch=True))
def test_urls(tls: bool, host: str, port: int | None, path: str) -> None:
    own_port = 443 if tls else 80
    found = url(f"{'https' if tls else 'http'}://{host}{'' if port is None else f':{port}'}{path}")
    assert (found.tls, found.host, found.port) == (tls, host.strip("[]"), port or own_port)
    empty_query = "?" in path and path.index("?") == len(path) - 1
    assert found.path == ((path[:-1] if empty_query else path) or "/")
    assert found.authority == (host if port in (None, own_port) else f"{host}:{port}")
    request = f"GET {found.path} HTTP/1.1\r\nHost: {found.authority}\r\n\r\n"
    assert request.count("\r\n") == 3
    assert request.splitlines()[0].count(" ") == 2


sent = st.one_of(
    st.just(Alive()),
    st.builds(Begin, texts),
    st.builds(End, texts, st.booleans()),
    st.builds(ProbeNow, st.lists(texts)),
    st.builds(Probed, texts, st.booleans(), texts, st.floats(0, 1e9)),
    st.builds(Started, texts, st.booleans(), texts),
    st.builds(Stopped, texts, st.booleans(), texts, st.booleans()),
)


@given(sent, st.integers(0, 2**40))
def test_a_message_is_one_line_and_comes_back(message: messages.Message, order: int) -> None:
    line = messages.encode(message, order)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert messages.decode(line) == (message, order)


addresses = st.integers(1, 2**32 - 1).map(ip_address)
seconds = st.floats(0.1, 1e5)


@given(
    st.lists(st.builds(Service, name=texts, ocf=texts, params=st.dictionaries(texts, texts), interval_s=seconds)),
    st.lists(st.builds(Check, texts, ping=st.lists(addresses).map(tuple), address=st.none() | addresses, exec=texts)),
    texts,
)
def test_an_assignment_is_one_line_and_comes_back(services: list[Service], checks: list[Check], scope: str) -> None:
    assignment = Assignment(scope, tuple(services), tuple(checks))
    line = messages.encode_assignment(assignment)
    assert line.count(b"\n") == 1
    assert messages.decode_assignment(line) == assignment


@given(st.integers(-64, 255), st.binary(max_size=5000))
def test_any_output_becomes_a_short_printable_line(code: int, output: bytes) -> None:
    text = Outcome(code, output.decode(errors="replace")).text
    assert text.isprintable()
    assert len(text) <= LINE_CHARACTERS_KEPT + 40


def test_a_message_of_no_kind_is_refused() -> None:
    with pytest.raises(KeyError):
        messages.decode(b'{"kind": "Other", "order": 0}\n')
