"""The farm's configuration: what a file means, and one sentence for each way it can be wrong."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from farmd import config_file
from farmd.config import Config, Farm, Node, Rule, Timing
from farmd.errors import ConfigError
from farmd.supervision.schema import Check, Service

FARM = """
[farm]
name = "web"
vips = ["10.0.0.100", "fd00::100"]
interface = "eth0"
keys = ["correct horse battery staple"]
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
weight = 50
"""
RULE = """
[[rule]]
ports = [80, 443]
protocol = "tcp"
affinity = "client"
"""
VALID = FARM + NODE_1 + NODE_2 + RULE


def load(folder: Path, text: str) -> Config:
    path = folder / "web.toml"
    path.write_text(text)
    return config_file.load(path)


def fault(folder: Path, text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    return caught.value


def changed(old: str, new: str) -> str:
    assert VALID.count(old) == 1
    return VALID.replace(old, new)


def test_a_file_becomes_its_values(tmp_path: Path) -> None:
    loaded = load(tmp_path, VALID)
    assert loaded == Config(
        farm=Farm(
            name="web",
            vips=(IPv4Address("10.0.0.100"), IPv6Address("fd00::100")),
            interface="eth0",
            keys=loaded.farm.keys,
        ),
        nodes=(
            Node(1, "n1", (IPv4Address("10.0.0.1"), IPv4Address("192.168.7.1")), 100),
            Node(2, "n2", (IPv4Address("10.0.0.2"), IPv4Address("192.168.7.2")), 50),
        ),
        rules=(Rule((80, 443), "tcp", "client"),),
        timing=Timing(0.05, 0.4, 0.2, 0.01),
    )
    assert [len(key) for key in loaded.farm.keys] == [32]


def test_defaults(tmp_path: Path) -> None:
    farm = load(tmp_path, FARM + NODE_1).farm
    assert (farm.port, farm.xdp, farm.quorum, farm.witness, farm.drain_timeout_s) == (5407, "auto", "none", (), 60.0)


def test_the_keys_do_not_show_when_a_farm_is_printed(tmp_path: Path) -> None:
    assert "keys" not in repr(load(tmp_path, VALID))


def test_a_key_file_is_relative_to_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "web.key").write_text("correct horse battery staple\n")
    (tmp_path / "web.key").chmod(0o600)
    in_file = load(tmp_path, changed("correct horse battery staple", "@web.key"))
    assert in_file.farm.keys == load(tmp_path, VALID).farm.keys


def test_an_unreadable_key_names_its_place(tmp_path: Path) -> None:
    text = changed('"correct horse battery staple"', '"correct horse battery staple", "@absent.key"')
    assert fault(tmp_path, text).key == "farm.keys[1]"


def test_nodes_are_found_by_id_and_name(tmp_path: Path) -> None:
    loaded = load(tmp_path, VALID)
    assert loaded.node(2).name == "n2"
    assert loaded.node_named("n1").id == 1
    with pytest.raises(KeyError):
        loaded.node(3)
    with pytest.raises(ConfigError, match="farm web has no node 'n3'; its nodes are n1, n2"):
        loaded.node_named("n3")


def test_quorum_and_witness_may_both_be_asked_for(tmp_path: Path) -> None:
    farm = load(tmp_path, changed('"eth0"', '"eth0"\nquorum = "majority"\nwitness = ["10.0.0.254"]')).farm
    assert (farm.quorum, farm.witness) == ("majority", (IPv4Address("10.0.0.254"),))


def test_the_vmac_is_a_locally_administered_unicast_address_that_never_changes(tmp_path: Path) -> None:
    vmac = load(tmp_path, VALID).farm.vmac
    assert vmac.hex(":") == "a6:5e:dd:a6:9a:03"
    assert vmac[0] & 0b11 == 0b10
    assert load(tmp_path, changed('"web"', '"web2"')).farm.vmac != vmac
    assert load(tmp_path, changed('"10.0.0.100"', '"10.0.0.101"')).farm.vmac != vmac
    assert load(tmp_path, changed('"fd00::100"', '"fd00::101"')).farm.vmac == vmac


@pytest.mark.parametrize(
    ("old", "new", "key", "sentence"),
    [
        ('name = "web"', 'nmae = "web"', "farm.nmae", "is not a known key; did you mean name?"),
        ("[[rule]]", "[rule]", "rule", "must be an array, not a table"),
        ("[[rule]]", "[[rules]]", "rules", "is not a known key; did you mean rule?"),
        ('"web"', '"Web"', "farm.name", "must be 1 to 32 lower-case letters"),
        ('"web"', '"-web"', "farm.name", "must be 1 to 32 lower-case letters"),
        ('"web"', '"../web"', "farm.name", "must be 1 to 32 lower-case letters"),
        ('"web"', '"web\\n"', "farm.name", "must be 1 to 32 lower-case letters"),
        ('"web"', f'"{"w" * 33}"', "farm.name", "must be 1 to 32 lower-case letters"),
        ('"eth0"', '""', "farm.interface", "'' cannot be the name of an interface"),
        ('"eth0"', '".."', "farm.interface", "'..' cannot be the name of an interface"),
        ('"eth0"', '"a/b"', "farm.interface", "'a/b' cannot be the name of an interface"),
        ('"eth0"', '"sixteen-letters0"', "farm.interface", "'sixteen-letters0' cannot be the name of an interface"),
        ('"eth0"', '"eth0"\nport = 0', "farm.port", "must be 1 to 65535, not 0"),
        ('"eth0"', '"eth0"\nport = 65536', "farm.port", "must be 1 to 65535, not 65536"),
        ('"eth0"', '"eth0"\nxdp = "on"', "farm.xdp", "must be one of auto, native, generic, off, not 'on'"),
        ('"eth0"', '"eth0"\ndrain_timeout_s = -1', "farm.drain_timeout_s", "must be 0 to 86400 seconds, not -1"),
        ('"eth0"', '"eth0"\ndrain_ahead_s = 3601', "farm.drain_ahead_s", "must be 0 to 3600 seconds, not 3601"),
        ('["correct horse battery staple"]', "[]", "farm.keys", "must be 1 to 8 secrets"),
        ('["correct horse', '["correct horse battery staple", "correct horse', "farm.keys[1]", "is the same as"),
        ('["10.0.0.100", "fd00::100"]', "[]", "farm.vips", "must hold at least one virtual address"),
        ('"fd00::100"', '"10.0.0.100"', "farm.vips[1]", "is the same as farm.vips[0]"),
        ('"fd00::100"', '"fd00:0::100", "fd00::0:100"', "farm.vips[2]", "is the same as farm.vips[1]"),
        ('"10.0.0.100"', '"10.0.0.100/24"', "farm.vips[0]", "without a prefix length, such as '10.0.0.100'"),
        ('"10.0.0.100"', '"010.0.0.100"', "farm.vips[0]", "must be an IPv4 or IPv6 address"),
        ('"10.0.0.100"', "167772260", "farm.vips[0]", "must be a string, not an integer"),
        ('"10.0.0.100"', '"10.0.0.2"', "farm.vips[0]", "10.0.0.2 is node n2's own address"),
        ('"10.0.0.100"', '"::ffff:10.0.0.100"', "farm.vips[0]", "IPv4 address in IPv6 form; write 10.0.0.100"),
        ('"10.0.0.100"', '"::10.0.0.100"', "farm.vips[0]", "is reserved"),
        ('"10.0.0.100"', '"224.0.0.18"', "farm.vips[0]", "224.0.0.18 is a multicast address"),
        ('"10.0.0.100"', '"255.255.255.255"', "farm.vips[0]", "255.255.255.255 is reserved"),
        ('"10.0.0.100"', '"0.0.0.0"', "farm.vips[0]", "0.0.0.0 is the unspecified address"),
        ('"10.0.0.100"', '"0.0.0.100"', "farm.vips[0]", "0.0.0.100 is reserved"),
        ('"10.0.0.100"', '"127.0.0.1"', "farm.vips[0]", "127.0.0.1 is a loopback address"),
        ('"10.0.0.100"', '"169.254.1.1"', "farm.vips[0]", "169.254.1.1 is a link-local address"),
        ('"fd00::100"', '"ff02::1"', "farm.vips[1]", "ff02::1 is a multicast address"),
        ('"fd00::100"', '"::"', "farm.vips[1]", ":: is the unspecified address"),
        ('"fd00::100"', '"::1"', "farm.vips[1]", "::1 is a loopback address"),
        ('"fd00::100"', '"fe80::1"', "farm.vips[1]", "fe80::1 is a link-local address"),
        ('"fd00::100"', '"fe80::1%eth0"', "farm.vips[1]", "without a zone"),
        ('"eth0"', '"eth0"\nwitness = ["10.0.0.1"]', "farm.witness[0]", "10.0.0.1 is node n1's address"),
        ('"eth0"', '"eth0"\nwitness = ["10.0.0.100"]', "farm.witness[0]", "10.0.0.100 is a virtual address"),
        ('"eth0"', '"eth0"\nwitness = ["10.0.0.9", "10.0.0.9"]', "farm.witness[1]", "is the same as farm.witness[0]"),
        ('"eth0"', '"eth0"\nwitness = ["ff02::1"]', "farm.witness[0]", "ff02::1 is a multicast address"),
        ("id = 1", "id = 0", "node[0].id", "must be 1 to 255, not 0"),
        ("id = 1", "id = 256", "node[0].id", "must be 1 to 255, not 256"),
        ("id = 1", "id = true", "node[0].id", "must be an integer, not a boolean"),
        ("id = 2", "id = 1", "node[1].id", "is the same as node[0].id"),
        ('"n2"', '"n1"', "node[1].name", "is the same as node[0].name"),
        ('"n2"', '"n 2"', "node[1].name", "must be 1 to 63 letters, digits"),
        ('"n2"', '""', "node[1].name", "must be 1 to 63 letters, digits"),
        ("weight = 50", "weight = -1", "node[1].weight", "must be 0 to 1000, not -1"),
        ("weight = 50", "weight = 1001", "node[1].weight", "must be 0 to 1000, not 1001"),
        ("weight = 50", "weight = 0.5", "node[1].weight", "must be an integer, not a float"),
        ('"192.168.7.2"', '"10.0.0.1"', "node[1].addresses[1]", "is the same as node[0].addresses[0]"),
        ('"10.0.0.2"', '"239.0.0.2"', "node[1].addresses[0]", "239.0.0.2 is a multicast address"),
        ('"10.0.0.2"', '"::ffff:10.0.0.2"', "node[1].addresses[0]", "write 10.0.0.2"),
        ('"10.0.0.2"', '"fe80::2"', "node[1].addresses[0]", "fe80::2 is link-local"),
        ('"10.0.0.2"', '"fd00::2"', "node[1].addresses[0]", "fd00::2 is of another family than 10.0.0.1"),
        ('"10.0.0.2", "192.168.7.2"', '"10.0.0.2"', "node[1].addresses", "node n2 has 1 and node n1 has 2"),
        ('"10.0.0.1", "192.168.7.1"', "", "node[0].addresses", "must hold at least one address"),
        ("[80, 443]", "[]", "rule[0].ports", "must hold at least one port"),
        ("[80, 443]", "[80, 0]", "rule[0].ports[1]", "must be 1 to 65535, not 0"),
        ("[80, 443]", "[65536]", "rule[0].ports[0]", "must be 1 to 65535, not 65536"),
        ("[80, 443]", "[80, 80]", "rule[0].ports[1]", "tcp port 80 is already in rule[0]"),
        ('"tcp"', '"sctp"', "rule[0].protocol", "must be one of tcp, udp, not 'sctp'"),
        ('"client"', '"source"', "rule[0].affinity", "must be one of client, network, connection, not 'source'"),
    ],
)
def test_each_rule_has_its_sentence(tmp_path: Path, old: str, new: str, key: str, sentence: str) -> None:
    error = fault(tmp_path, changed(old, new))
    assert error.key == key
    assert sentence in error.sentence


@pytest.mark.parametrize("part", ["name", "vips", "interface", "keys"])
def test_what_has_no_default_must_be_there(tmp_path: Path, part: str) -> None:
    text = "\n".join(line for line in FARM.splitlines() if not line.startswith(part))
    assert str(fault(tmp_path, text + NODE_1)) == f"farm.{part}: is missing"


def test_a_farm_has_1_to_32_nodes(tmp_path: Path) -> None:
    nodes = [f'[[node]]\nid = {n}\nname = "n{n}"\naddresses = ["10.0.1.{n}"]\n' for n in range(1, 34)]
    assert len(load(tmp_path, FARM + "".join(nodes[:32])).nodes) == 32
    assert fault(tmp_path, FARM + "".join(nodes)).sentence == "there must be 1 to 32 nodes, not 33"
    assert str(fault(tmp_path, "node = []\n" + FARM)) == "node: there must be 1 to 32 nodes, not 0"
    assert str(fault(tmp_path, FARM)) == "node: is missing"


def test_a_port_may_be_in_a_rule_for_each_protocol(tmp_path: Path) -> None:
    other = RULE.replace("tcp", "udp")
    assert len(load(tmp_path, VALID + other).rules) == 2
    assert str(fault(tmp_path, VALID + RULE)) == "rule[1].ports[0]: tcp port 80 is already in rule[0]"


@pytest.mark.parametrize(
    ("timing", "error"),
    [
        ("heartbeat_interval_s = 0.009", "timing.heartbeat_interval_s: must be at least 0.01, not 0.009"),
        ("heartbeat_interval_s = -0.05", "timing.heartbeat_interval_s: must be 0 to 60 seconds, not -0.05"),
        ("suspect_after_s = 1e308", "timing.suspect_after_s: must be 0 to 60 seconds, not 1e+308"),
        ("suspect_after_s = 61", "timing.suspect_after_s: must be 0 to 60 seconds, not 61"),
        ("transit_s = -0.01", "timing.transit_s: must be 0 to 60 seconds, not -0.01"),
        (
            "suspect_after_s = 0.19",
            "timing.suspect_after_s: must be at least 4 * heartbeat_interval_s = 0.2, not 0.19",
        ),
        ("lease_s = 0.09", "timing.lease_s: must be at least 2 * heartbeat_interval_s = 0.1, not 0.09"),
        (
            "lease_s = 0.25",
            "timing.lease_s: must be at most suspect_after_s - 3 * heartbeat_interval_s - transit_s = 0.4 - 3 * 0.05 "
            "- 0.01 = 0.24, not 0.25, or a node could still answer clients that another has taken over",
        ),
        ("lease_s = nan", "timing.lease_s: must be a finite number"),
    ],
)
def test_timing_that_breaks_a_rule_is_refused_with_the_numbers(tmp_path: Path, timing: str, error: str) -> None:
    assert str(fault(tmp_path, f"{VALID}\n[timing]\n{timing}\n")) == error


@pytest.mark.parametrize(
    "timing",
    [
        "lease_s = 0.24",
        "lease_s = 0.1\nsuspect_after_s = 0.26",  # although 0.26 - 3 * 0.05 - 0.01 < 0.1 in binary fractions
        "heartbeat_interval_s = 0.01\nlease_s = 0.02\nsuspect_after_s = 0.06",
        "heartbeat_interval_s = 1\nsuspect_after_s = 10\nlease_s = 6\ntransit_s = 0",
    ],
)
def test_timing_on_the_limits_is_accepted(tmp_path: Path, timing: str) -> None:
    load(tmp_path, f"{VALID}\n[timing]\n{timing}\n")


def test_services_and_checks(tmp_path: Path) -> None:
    loaded = load(tmp_path, VALID + '[[service]]\nunit = "nginx.service"\n[[check]]\nname = "c"\nping = ["10.0.0.9"]\n')
    assert loaded.services == (Service(name="nginx", unit="nginx.service"),)
    assert loaded.checks == (Check("c", ping=(IPv4Address("10.0.0.9"),)),)


def test_services_and_checks_keep_their_rules(tmp_path: Path) -> None:
    error = fault(tmp_path, VALID + '[[check]]\nname = "c"\n')
    assert (error.key, error.sentence) == (
        "check[0]", "says not what it is; it needs one of tcp, http, exec, process, ping, interface")  # fmt: skip


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml: there is no such file"):
        config_file.load(tmp_path / "absent.toml")


def test_a_syntax_error_has_its_line(tmp_path: Path) -> None:
    assert "at line 3" in fault(tmp_path, '[farm]\nname = "web"\nvips = [10.0.0.100]\n').sentence
