"""init under any answers: a draft is refused with a ConfigError, or its text is a configuration that says the same."""

from __future__ import annotations

import tomllib
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from farmd import config_rules
from farmd.config import Config
from farmd.errors import ConfigError
from farmd.kit import toml
from farmd.setup.draft import Draft
from farmd.setup.mirror_draft import MirrorDraft
from farmd.setup.tables import CHECK_KINDS, SERVICE_KINDS, NodeDraft, Watched
from mirrord import config_rules as mirror_rules
from mirrord.config import Config as MirrorConfig

texts = st.text(st.characters(), max_size=12)  # surrogates, too: the command line of a process may hold any byte
RIGHT_VALUES = {
    "unit": "nginx.service", "ocf": "heartbeat:nginx",
    "tcp": "127.0.0.1:80", "http": "http://127.0.0.1/?a=\"b\"", "exec": "/bin/sh -c 'exit 0'", "process": "nginx",
    "ping": "10.0.0.1, 10.0.0.2", "interface": "eth0",
}  # fmt: skip


def mostly(right: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """So that whole drafts are right often enough."""
    return st.integers(0, 15).flatmap(lambda number: right if number else texts)


def watched(kinds: tuple[str, ...]) -> st.SearchStrategy[Watched]:
    return st.sampled_from(kinds).flatmap(
        lambda kind: st.builds(Watched, st.just(kind), mostly(st.just(RIGHT_VALUES[kind])))
    )


names = mostly(st.from_regex("[a-z0-9]{1,8}", fullmatch=True))
addresses = mostly(st.ip_addresses(network="10.0.0.0/8").map(str))
nodes = st.builds(NodeDraft, names, st.tuples(addresses))
services, checks = watched(SERVICE_KINDS), watched(CHECK_KINDS)
drafts = st.builds(
    Draft,
    name=names,
    vips=st.lists(addresses, min_size=1, max_size=2).map(tuple),
    interface=names,
    key=mostly(st.text(st.characters(exclude_categories=["Cs"]), max_size=12)),
    nodes=st.lists(nodes, min_size=1, max_size=3).map(tuple),
    services=st.lists(services, max_size=2).map(tuple),
    checks=st.lists(checks, max_size=2).map(tuple),
)
directories = mostly(st.sampled_from(["/srv", "/srv/a", "/srv/b", '/var/lib/"a\\b ü']))
mirrors = st.builds(
    MirrorDraft,
    name=names,
    directories=st.lists(directories, min_size=1, max_size=2).map(tuple),
    vips=st.lists(addresses, max_size=2).map(tuple),
    interface=names,
    witness=st.lists(addresses, max_size=2).map(tuple),
    key=mostly(st.text(st.characters(exclude_categories=["Cs"]), max_size=12)),
    nodes=st.lists(nodes, min_size=2, max_size=2).map(tuple),
    services=st.lists(services, max_size=2).map(tuple),
    checks=st.lists(checks, max_size=2).map(tuple),
)
RIGHT = Draft("web", ("10.0.0.100",), "eth0", "/etc/web.key", (NodeDraft("n1", ("10.0.0.1",)),))


@given(drafts)
@example(RIGHT)
@example(RIGHT.with_answer(key='/etc/\x7f"\\ü\U0001f600.key'))
def test_a_draft_is_refused_or_says_what_it_was_told(draft: Draft) -> None:
    try:
        draft.check()
    except ConfigError:
        return
    keys: list[object] = []

    def key_of(value: object, _: str) -> bytes:
        keys.append(value)
        return b"any"

    config = toml.read(tomllib.loads(draft.text()), Config, {bytes: key_of})
    config_rules.check(config)
    assert (config.farm.name, config.farm.interface, keys) == (draft.name, draft.interface, [f"@{draft.key}"])
    assert [node.name for node in config.nodes] == [node.name for node in draft.nodes]
    assert [getattr(one, two.kind) for one, two in zip(config.services, draft.services, strict=True)] == [
        service.value for service in draft.services
    ]
    for found, told in zip(config.checks, draft.checks, strict=True):
        if told.kind != "ping":
            assert getattr(found, told.kind) == told.value


@given(mirrors)
@example(
    MirrorDraft(
        "db", ("/srv/a",), (), "", (), "/etc/db.key", (NodeDraft("n1", ("10.0.0.1",)), NodeDraft("n2", ("10.0.0.2",)))
    )
)
def test_a_mirrors_draft_is_refused_or_says_what_it_was_told(draft: MirrorDraft) -> None:
    try:
        draft.check()
    except ConfigError:
        return
    readers: dict[object, toml.Reader] = {bytes: lambda value, key: b"any", Path: lambda value, key: Path(str(value))}
    config = toml.read(tomllib.loads(draft.text()), MirrorConfig, readers)
    mirror_rules.check(config)
    mirror = config.mirror
    assert (mirror.name, mirror.interface) == (draft.name, draft.interface)
    assert tuple(map(str, mirror.directories)) == draft.directories
    assert [tuple(map(str, listed)) for listed in (mirror.vips, mirror.witness)] == [draft.vips, draft.witness]
    assert [node.name for node in config.nodes] == [node.name for node in draft.nodes]
    assert [service.unit or service.ocf for service in config.services] == [one.value for one in draft.services]
