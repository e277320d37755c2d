"""A mirror's configuration: what a file means, and one sentence for each way it can be wrong."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from farmd.errors import ConfigError
from mirrord import config_file
from mirrord.config import Config, File, Mirror, Node, Timing, Tls
from mirrord.identity import fingerprint, settings
from mirrord.window import Window

MIRROR = """
[mirror]
name = "db"
directories = ["/srv/db", "/var/lib/app/"]
keys = ["correct horse battery staple"]
vips = ["10.0.0.200"]
interface = "eth0"
witness = ["10.0.0.254"]
prefer = "n1"
"""
NODE_1 = """
[[node]]
id = 1
name = "n1"
addresses = ["10.0.0.1", "192.168.7.1"]
"""
NODE_2 = """
[[node]]
id = 2
name = "n2"
addresses = ["10.0.0.2", "192.168.7.2"]
"""
VALID = MIRROR + NODE_1 + NODE_2


def load(folder: Path, text: str) -> Config:
    path = folder / "db.toml"
    path.write_text(text)
    return config_file.load(path)


def changed(old: str, new: str) -> str:
    assert VALID.count(old) == 1
    return VALID.replace(old, new)


def added(line: str) -> str:
    """With a further key of [mirror]."""
    return changed('prefer = "n1"\n', f'prefer = "n1"\n{line}\n')


def test_a_file_becomes_its_values(tmp_path: Path) -> None:
    loaded = load(tmp_path, VALID)
    assert loaded == Config(
        mirror=Mirror(
            name="db",
            directories=(Path("/srv/db"), Path("/var/lib/app")),
            keys=loaded.mirror.keys,
            vips=(IPv4Address("10.0.0.200"),),
            interface="eth0",
            vip_mode="vmac",
            xdp="auto",
            witness=(IPv4Address("10.0.0.254"),),
            prefer="n1",
            prefer_window="",
            ack="applied",
            port=5408,
            tls=None,
            resync_rate_mb_s=0,
        ),
        nodes=(
            Node(1, "n1", (IPv4Address("10.0.0.1"), IPv4Address("192.168.7.1"))),
            Node(2, "n2", (IPv4Address("10.0.0.2"), IPv4Address("192.168.7.2"))),
        ),
        timing=Timing(0.1, 2.0, 1.0, 0.01),
    )
    assert [len(key) for key in loaded.mirror.keys] == [32]


def test_virtual_addresses_and_their_interface_may_be_left_out(tmp_path: Path) -> None:
    loaded = load(tmp_path, changed('vips = ["10.0.0.200"]\ninterface = "eth0"\n', ""))
    assert loaded.mirror.vips == ()
    assert loaded.mirror.interface == ""


def test_certificates_are_beside_the_configuration(tmp_path: Path) -> None:
    loaded = load(tmp_path, added('tls = { certificate = "n1.pem", key = "/etc/n1.key", ca = "sub/../ca.pem" }'))
    assert loaded.mirror.tls == Tls(File(tmp_path / "n1.pem"), File(Path("/etc/n1.key")), File(tmp_path / "ca.pem"))


def test_rates_are_counted_in_bytes(tmp_path: Path) -> None:
    assert load(tmp_path, added("resync_rate_mb_s = 1.5")).mirror.resync_rate_bytes_s == 1_500_000


TWO = '["/srv/db", "/var/lib/app/"]'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            changed('name = "db"', 'name = "DB"'),
            "mirror.name: must be 1 to 32 lower-case letters, digits and, not first, hyphens",
        ),
        (changed(TWO, "[]"), "mirror.directories: must hold 1 to 16 folders, not 0"),
        (changed(TWO, '["srv/db"]'), "mirror.directories[0]: must be a full path without \"..\", not 'srv/db'"),
        (
            changed(TWO, '["/srv/../etc"]'),
            "mirror.directories[0]: must be a full path without \"..\", not '/srv/../etc'",
        ),
        (
            changed(TWO, '["/"]'),
            "mirror.directories[0]: cannot be the root folder, which holds what differs between the nodes",
        ),
        (changed(TWO, '[""]'), "mirror.directories[0]: is empty"),
        (changed(TWO, "[7]"), "mirror.directories[0]: must be a string, a path"),
        (changed(TWO, '["/srv/a\\nb"]'), "mirror.directories[0]: cannot hold characters that cannot be printed"),
        (changed(TWO, '["/run/db"]'), "mirror.directories[0]: /run/db is in /run, whose content no disk keeps"),
        (
            changed(TWO, '["/var/lib/mirrord/x"]'),
            "mirror.directories[0]: /var/lib/mirrord/x and /var/lib/mirrord, where "
            "mirrord keeps its own state, cannot be in one another",
        ),
        (
            changed(TWO, '["/var/lib"]'),
            "mirror.directories[0]: /var/lib and /var/lib/mirrord, where mirrord keeps its own "
            "state, cannot be in one another",
        ),
        (changed(TWO, '["/srv/db", "/srv/db/"]'), "mirror.directories[1]: /srv/db is there twice"),
        (
            changed(TWO, '["/srv/db", "/srv/db/a/b"]'),
            "mirror.directories[1]: /srv/db/a/b is inside of /srv/db, which is replicated with all that is in it",
        ),
        (
            changed(TWO, '["/srv/db/a", "/srv/db"]'),
            "mirror.directories[1]: /srv/db/a is inside of /srv/db, which is replicated with all that is in it",
        ),
        (changed('keys = ["correct horse battery staple"]', "keys = []"), "mirror.keys: must be 1 to 8 secrets"),
        (
            changed('interface = "eth0"\n', ""),
            "mirror.interface: is missing; virtual addresses need the one that clients come in by",
        ),
        (
            changed('"10.0.0.254"', '"10.0.0.2"'),
            "mirror.witness[0]: 10.0.0.2 is node n2's address; a witness is outside of the mirror",
        ),
        (
            changed('"10.0.0.254"', '"192.168.7.1"'),
            "mirror.witness[0]: 192.168.7.1 is node n1's address; a witness is outside of the mirror",
        ),
        (
            changed('"10.0.0.254"', '"10.0.0.200"'),
            "mirror.witness[0]: 10.0.0.200 is a virtual address, which every node would reach in itself",
        ),
        (
            changed('["10.0.0.200"]', '["10.0.0.1"]'),
            "mirror.vips[0]: 10.0.0.1 is node n1's own address; a virtual address belongs to no node",
        ),
        (changed('prefer = "n1"', 'prefer = "n3"'), "mirror.prefer: there is no node 'n3'; the nodes are n1 and n2"),
        (
            changed('prefer = "n1"', 'prefer_window = "01:00-02:00"'),
            "mirror.prefer_window: says when to swap to the node that `prefer` names; there is none",
        ),
        (
            added('prefer_window = "1-2"'),
            "mirror.prefer_window: must have the form HH:MM-HH:MM, such as 01:00-05:30, not '1-2'",
        ),
        (
            added('prefer_window = "24:00-02:00"'),
            "mirror.prefer_window: must have the form HH:MM-HH:MM, such as 01:00-05:30, not '24:00-02:00'",
        ),
        (
            added('prefer_window = "02:00-02:00"'),
            "mirror.prefer_window: must not begin and end at the same minute, as '02:00-02:00' does",
        ),
        (added('ack = "received"'), "mirror.ack: must be one of applied, disk, not 'received'"),
        (added("port = 0"), "mirror.port: must be 1 to 65535, not 0"),
        (added("resync_rate_mb_s = -1"), "mirror.resync_rate_mb_s: must be 0 to 100000 megabytes a second, not -1"),
        (added("witnes = []"), "mirror.witnes: is not a known key; did you mean witness?"),
        (MIRROR + NODE_1, "node: a mirror has two nodes, not 1"),
        (VALID + NODE_2.replace("id = 2", "id = 3"), "node: a mirror has two nodes, not 3"),
        (changed("id = 2", "id = 1"), "node[1].id: is the same as node[0].id"),
        (changed('name = "n2"', 'name = "n1"'), "node[1].name: is the same as node[0].name"),
        (changed('"10.0.0.2"', '"10.0.0.1"'), "node[1].addresses[0]: is the same as node[0].addresses[0]"),
        (
            changed('"10.0.0.2", "192.168.7.2"', '"10.0.0.2"'),
            "node[1].addresses: node n2 has 1 and node n1 has 2; every node needs one for each heartbeat network",
        ),
        (
            VALID + "[timing]\nlease_s = 1.8\n",
            "timing.lease_s: must be at most suspect_after_s - 3 * heartbeat_interval_s "
            "- transit_s = 2 - 3 * 0.1 - 0.01 = 1.69, not 1.8, or a node could still answer clients that another has "
            "taken over",
        ),
        (
            VALID + "[[service]]\nunit = 'x'\nstart = 'y'\n",
            "service[0].start: cannot stand next to unit; a table is about one of them",
        ),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert str(caught.value) == sentence


def test_certificates_must_be_there_before_anything_is_done(tmp_path: Path) -> None:
    path = tmp_path / "db.toml"
    path.write_text(added('tls = { certificate = "n1.pem", key = "n1.key", ca = "ca.pem" }'))
    with pytest.raises(ConfigError, match=r"^mirror\.tls\.ca: .*ca\.pem cannot be used: No such file or directory$"):
        config_file.load_here(path)


@pytest.mark.parametrize(
    ("window", "inside", "outside"),
    [("01:00-05:30", (60, 329), (59, 330, 1439)), ("22:00-04:00", (1320, 1439, 0, 239), (240, 1319))],
)
def test_a_window_is_of_the_day_and_over_midnight(
    window: str, inside: tuple[int, ...], outside: tuple[int, ...]
) -> None:
    parsed = Window.parse(window)
    assert [parsed.holds(minute) for minute in inside] == [True] * len(inside)
    assert [parsed.holds(minute) for minute in outside] == [False] * len(outside)


def test_what_must_be_alike_is_in_the_fingerprint(tmp_path: Path) -> None:
    """And what is changed on one node after the other is not."""
    one = fingerprint(load(tmp_path, VALID))
    for text in (changed("/srv/db", "/srv/other"), added('ack = "disk"'), changed('name = "n2"', 'name = "n3"')):
        assert fingerprint(load(tmp_path, text)) != one
    for text in (
        added("resync_rate_mb_s = 5"),
        changed('"10.0.0.254"', '"10.0.0.253"'),
        changed('prefer = "n1"\n', ""),
    ):
        assert fingerprint(load(tmp_path, text)) == one


def test_the_core_is_told_its_part(tmp_path: Path) -> None:
    config = load(tmp_path, VALID)
    told = settings(config, config.nodes[1], protocol=3)
    assert (told.node, told.peer, told.prefer, told.witness, told.protocol) == (2, 1, 1, True, 3)
    assert (told.heartbeat_ns, told.suspect_ns, told.lease_ns) == (100_000_000, 2_000_000_000, 1_000_000_000)
    assert told.names == {1: "n1", 2: "n2"}
