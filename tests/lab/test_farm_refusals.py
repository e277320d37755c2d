"""Bad configurations, wrong machines and foreign datagrams: refused, in one sentence, and nothing is changed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from farmd.kit.wire import Frame, Keyring, seal
from lab import services
from lab.network import Lab
from lab.services import CONFIG
from lab.topology import LAN
from lab.waiting import until
from tests.lab.nodes import NODES, owners, settled, status
from tests.lab.test_farm_machine import traces
from tests.lab.test_topology import name
from tests.lab.watching import watched

pytestmark = pytest.mark.needs_root

PORT = 5407
BROKEN = "/run/farmd-lab/broken.toml"


def run_farmd(lab: Lab, text: str, *prefix: str) -> subprocess.CompletedProcess[str]:
    """farmd on n2 with this configuration, until it ends."""
    lab.machine("n2").write(BROKEN, text)
    command = [BROKEN if word == CONFIG else word for word in services.farmd("n2")]
    return lab.exec("n2", *prefix, *command, check=False, timeout=10)


@pytest.fixture(scope="module")
def idle() -> Iterator[Lab]:
    """Machines of a farm; on n2 farmd has run, and it runs nowhere."""
    lab = Lab(name("idle"))
    lab.up(start=False)
    try:
        lab.start("n2")
        lab.stop("n2")
        yield lab
    finally:
        lab.down()


def replaced(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return change


WRONG = {
    "an unknown key": (replaced("[farm]", "[farm]\nvip = 1"), "farm.vip: "),
    "a duplicate id": (replaced("id = 3", "id = 2"), "node[2].id: "),
    "a VIP that is a node's": (replaced('"10.0.0.100"', '"10.0.0.2"'), "farm.vips[0]: "),
    "a VIP that is none": (replaced('"10.0.0.100"', '"10.0.0.300"'), "farm.vips[0]: "),
    "a negative weight": (replaced("id = 3", "id = 3\nweight = -1"), "node[2].weight: "),
    "no key file": (replaced("web.key", "no.key"), "farm.keys[0]: "),
    "a lease that is too long": (replaced("[[rule]]", "[timing]\nlease_s = 0.3\n\n[[rule]]"), "timing.lease_s: "),
    "no TOML": (replaced("[farm]", "[farm"), f"{BROKEN}: "),
    "an interface that is not there": (replaced("eth0", "eth9"), "there is no interface eth9"),
    "an unknown node": (replaced('name = "n2"', 'name = "nx"'), "the configuration has no node named n2"),
    "an address of another machine": (replaced("10.0.0.2", "10.0.0.9"), "cannot listen for heartbeats on 10.0.0.9"),
    "an ordinary address as VIP": (replaced('"10.0.0.100"', '"10.0.3.3"'), "10.0.3.3 is an ordinary address of eth0"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_configuration_is_refused_before_anything_is_touched(idle: Lab, what: str) -> None:
    change, sentence = WRONG[what]
    idle.exec("n2", "ip", "address", "replace", "10.0.3.3/32", "dev", "eth0")
    before = traces(idle, "n2")
    done = run_farmd(idle, change(idle.state.config.read_text()))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"farmd: {sentence}"), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert traces(idle, "n2") == before


def test_a_second_daemon_is_refused_and_disturbs_nothing(farm: Lab) -> None:
    before = traces(farm, "n2"), settled(farm, "n2")["epoch"]
    with watched(farm) as clients:
        done = run_farmd(farm, farm.state.config.read_text())
    assert done.returncode == 1
    pid = status(farm, "n2")["pid"]
    assert done.stderr == f"farmd: a farm or mirror named web already runs here (pid {pid})\n"
    assert (traces(farm, "n2"), status(farm, "n2")["epoch"]) == before
    assert clients.failures == []


def test_without_root_farmd_says_so(idle: Lab) -> None:
    before = traces(idle, "n2")
    idle.machine("n2").write("/run/open.key", "a key that nobody owns\n", mode=0o600)
    idle.exec("n2", "chown", "nobody", "/run/open.key")
    text = idle.state.config.read_text().replace(services.KEY, "/run/open.key")
    done = run_farmd(idle, text, "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    assert done.returncode == 1
    assert done.stderr == "farmd: farmd must run as root: it attaches a filter to a network interface\n"
    assert traces(idle, "n2") == before


# -- datagrams ---------------------------------------------------------------------------------------------------------

SEND = "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
SEND += "for line in sys.stdin: s.sendto(bytes.fromhex(line), ('10.0.0.1', 5407))"
CAPTURE = """
import socket, sys
tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
while True:
    packet = tap.recv(65535)
    if packet[9] == 17 and packet[12:16] == bytes([10, 0, 0, 2]) and packet[22:24] == (5407).to_bytes(2, "big"):
        print(packet[28:].hex())
        break
"""


def a_heartbeat(farm: Lab) -> bytes:
    """A datagram of n2 to n1, as it passes on the wire."""
    return bytes.fromhex(farm.exec("n1", sys.executable, "-c", CAPTURE, timeout=5).stdout)


def send(farm: Lab, place: str, *datagrams: bytes) -> None:
    """Send datagrams to the heartbeat port of n1."""
    farm.exec(place, sys.executable, "-c", SEND, input="".join(datagram.hex() + "\n" for datagram in datagrams))


def strangers(recorded: bytes) -> dict[str, list[bytes]]:
    """Datagrams by the fault that they are to be counted under."""
    wrong_key = Keyring([bytes(32)])
    frame = Frame(2, (1 << 64) - 1, (1 << 64) - 1, recorded[30:-16])
    return {
        "Truncated": [b"", b"FRMD", recorded[:20], recorded[:45]],
        "Malformed": [bytes(100), b"HTTP" + recorded[4:]],
        "OtherVersion": [recorded[:4] + b"\xff" + recorded[5:]],
        "OtherFarm": [seal(frame, "other", wrong_key)],
        "Forged": [seal(frame, "web", wrong_key), recorded[:-1] + bytes([recorded[-1] ^ 1]), recorded[:-20]],
        "Unproved": [recorded] * 3,
    }


@pytest.mark.parametrize("place", [LAN, "n3"])
def test_foreign_datagrams_are_counted_and_change_nothing(farm: Lab, place: str) -> None:
    recorded = a_heartbeat(farm)
    before, owned = settled(farm, "n1"), owners(farm, "n1")
    with watched(farm) as clients:
        for fault, datagrams in strangers(recorded).items():
            seen = status(farm, "n1")["refused"].get(fault, 0)
            send(farm, place, *datagrams)
            wanted = seen + len(datagrams)
            until(lambda: status(farm, "n1")["refused"].get(fault, 0) == wanted, f"{fault} counted")  # noqa: B023
        send(farm, place, *(bytes([number % 256]) * 1400 for number in range(5000)))
    after = status(farm, "n1")
    assert (after["epoch"], owners(farm, "n1")) == (before["epoch"], owned)
    assert clients.failures == []
    assert clients.steady


def test_an_old_recording_of_a_dead_node_does_not_revive_it(farm: Lab) -> None:
    recorded = a_heartbeat(farm)
    farm.kill("n2")
    farm.wait_converged("n1", "n3")
    unproved = status(farm, "n1")["refused"]["Unproved"]
    epoch = settled(farm, "n1")["epoch"]
    send(farm, LAN, *[recorded] * 50)
    until(lambda: status(farm, "n1")["refused"]["Unproved"] == unproved + 50, "the recordings to be counted")
    answer = status(farm, "n1")
    assert answer["epoch"] == epoch
    assert [member["status"] for member in answer["members"]] == ["up", "failed", "up"]
    assert NODES[1] not in owners(farm, "n3")
