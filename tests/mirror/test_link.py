"""Links over real connections: who gets one, and that nobody else can keep a peer from it."""

from __future__ import annotations

import contextlib
import itertools
import queue
import socket
import time
from collections.abc import Iterator

import pytest

from farmd.kit.wire import Keyring
from lab.waiting import until
from mirrord.volume.link import dialling
from mirrord.volume.link.channel import Channel
from mirrord.volume.link.dialling import Dialler, Line
from mirrord.volume.link.greeting import Greeting, Standing, keyring
from mirrord.volume.link.listening import HALF_OPEN_MAX, Listener
from tests.mirror.certificates import certificate
from tests.mirror.volumes import loopback

KEYS = keyring(["11" * 32])
PRIMARY = Standing("db", 1, 2, (3, 1))
SECONDARY = Standing("db", 2, 1, (3, 1))
ADDRESS = loopback(1)
_ports = itertools.count(30000)


class Ends:
    """A listener and the diallers of a test, and the channels that they were given."""

    def __init__(self, tls: dict[str, dict[str, str]] | None = None) -> None:
        self.here: queue.Queue[Channel] = queue.Queue()
        self.there: queue.Queue[Channel] = queue.Queue()
        self.port = next(_ports)
        self.told_here: list[str] = []
        """Why there is no link, as the primary is told, and as the secondary is."""
        self.told_there: list[str] = []
        self._tls = tls or {}
        self._open: list[Listener | Dialler] = []

    def line(self, side: str) -> Line:
        return Line([ADDRESS], [ADDRESS], self.port, self._tls.get(side))

    def listen(self, standing: Standing = SECONDARY) -> Listener:
        line, greeted = self.line("secondary"), lambda channel, _: self.there.put(channel)
        listener = Listener(line, standing, KEYS, greeted, self.told_there.append)
        self._open.append(listener)
        return listener

    def dial(self, standing: Standing = PRIMARY, keys: Keyring = KEYS) -> Dialler:
        line, greeted = self.line("primary"), lambda channel, _: self.here.put(channel)
        dialler = Dialler(line, standing, keys, greeted, self.told_here.append)
        self._open.append(dialler)
        return dialler

    def linked(self) -> tuple[Channel, Channel]:
        return self.here.get(timeout=10), self.there.get(timeout=10)

    def close(self) -> None:
        for end in self._open:
            end.close()
        for channels in (self.here, self.there):
            while not channels.empty():
                channels.get().close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    with contextlib.closing(Ends()) as ends:
        yield ends


def receive(channel: Channel, count: int) -> bytes:
    received = bytearray()
    buffer = memoryview(bytearray(1 << 16))

    def has_all() -> bool:
        with contextlib.suppress(BlockingIOError):
            received.extend(buffer[: channel.receive(buffer)])
        return len(received) >= count

    until(has_all, f"{count} bytes")
    return bytes(received)


def both_ways(here: Channel, there: Channel) -> None:
    assert here.send([b"a record", b" and its payload"]) == 24
    assert receive(there, 24) == b"a record and its payload"
    there.send([b"applied"])
    assert receive(here, 7) == b"applied"


def test_a_link_carries_bytes_both_ways(ends: Ends) -> None:
    ends.listen()
    ends.dial()
    here, there = ends.linked()
    both_ways(here, there)
    here.close()
    assert receive_end(there)
    there.close()


def receive_end(channel: Channel) -> bool:
    buffer = memoryview(bytearray(16))
    ended = False

    def has_ended() -> bool:
        nonlocal ended
        with contextlib.suppress(BlockingIOError):
            ended = channel.receive(buffer) == 0
        return ended

    until(has_ended, "the end of the link")
    return ended


def test_a_dialler_finds_a_listener_that_begins_later(ends: Ends, caplog: pytest.LogCaptureFixture) -> None:
    ends.dial()
    until(lambda: "cannot be reached" in caplog.text, "the first try")
    ends.listen()
    ends.linked()
    assert caplog.text.count("cannot be reached") == 1


def test_a_refusal_reaches_both_logs(ends: Ends, caplog: pytest.LogCaptureFixture) -> None:
    ends.listen(Standing("db", 2, 1, (4, 2)))
    ends.dial()
    until(lambda: caplog.text.count("node 2 is at generation 4.2 and node 1 at 3.1") >= 2, "both logs")
    assert ends.there.empty()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "TELL_AFTER_S", 0.3)


@pytest.mark.usefixtures("impatient")
def test_both_ends_tell_why_they_do_not_link(ends: Ends) -> None:
    began_s = time.monotonic()
    ends.listen(Standing("db", 2, 1, (4, 2)))
    ends.dial()
    why = "node 2 is at generation 4.2 and node 1 at 3.1"
    until(lambda: bool(ends.told_here) and bool(ends.told_there), "both to tell")
    assert time.monotonic() - began_s >= 0.3, "a peer may just be late"
    assert (ends.told_here, ends.told_there) == ([f"at {ADDRESS}: the peer refuses the link: {why}"], [why])


@pytest.mark.usefixtures("impatient")
def test_a_peer_that_is_not_there_is_told_of(ends: Ends) -> None:
    ends.dial()
    until(lambda: ends.told_here == [f"{ADDRESS} cannot be reached (Connection refused)"], "the primary to tell")


@pytest.mark.usefixtures("impatient")
def test_a_peer_with_another_key_is_told_of_at_both_ends(ends: Ends) -> None:
    ends.listen()
    ends.dial(keys=keyring(["22" * 32]))
    until(lambda: bool(ends.told_here) and bool(ends.told_there), "both to tell")
    assert "does not follow, or has other keys or another mirror" in ends.told_here[0]
    assert ends.told_there == [
        f"what comes from {ADDRESS} is not the peer: the other end does not hold a key of this mirror"
    ]


def test_what_strangers_do_is_not_told(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "TELL_AFTER_S", 0.0)
    ends.listen()
    for said in (b"GET / HTTP/1.1\r\n\r\n", Greeting(PRIMARY, keyring(["22" * 32]), "primary").begin()):
        with socket.create_connection((ADDRESS, ends.port), source_address=(loopback(2), 0)) as stranger:
            stranger.sendall(said)
            assert ended(stranger)
    assert ends.told_there == []
    with socket.create_connection((ADDRESS, ends.port), source_address=(ADDRESS, 0)) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert ended(peer)
    assert len(ends.told_there) == 1


def test_strangers_are_told_nothing_and_do_not_keep_the_port_busy(ends: Ends) -> None:
    ends.listen()
    with contextlib.ExitStack() as stack:
        strangers = [
            stack.enter_context(socket.create_connection((ADDRESS, ends.port))) for _ in range(HALF_OPEN_MAX * 2)
        ]
        strangers[-1].sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert ended(strangers[-1])
        assert ended(strangers[0])
        ends.dial()
        both_ways(*ends.linked())


def ended(stranger: socket.socket) -> bool:
    return all_said(stranger) == b""


def all_said(stranger: socket.socket) -> bytes:
    """Until the other end closes."""
    said = b""
    stranger.settimeout(10)
    with contextlib.suppress(ConnectionResetError):
        while some := stranger.recv(1000):
            said += some
    return said


def test_a_silent_stranger_is_sent_away(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mirrord.volume.link.listening.GREET_WITHIN_S", 0.05)
    ends.listen()
    with socket.create_connection((ADDRESS, ends.port)) as stranger:
        stranger.sendall(b"FRMS")
        assert ended(stranger)


def test_a_recorded_greeting_gets_no_link(ends: Ends) -> None:
    ends.listen()
    with socket.create_connection((ADDRESS, ends.port)) as replay:
        recorded = Greeting(PRIMARY, KEYS, "primary").begin()
        replay.sendall(recorded)
        assert replay.recv(1000).startswith(b"FRMS")
        replay.sendall(recorded)  # whatever was said before, it is not the proof for this challenge
        assert ended(replay)
    assert ends.there.empty()


def test_a_running_link_is_not_disturbed_by_strangers_and_replaced_by_the_peer(ends: Ends) -> None:
    ends.listen()
    ends.dial()
    here, there = ends.linked()
    for _ in range(20):
        with socket.create_connection((ADDRESS, ends.port)) as stranger:
            stranger.sendall(bytes(100))
            assert ended(stranger)
    both_ways(here, there)
    ends.dial()
    both_ways(*ends.linked())
    here.close()
    there.close()


def test_nobody_is_handed_over_after_close(ends: Ends) -> None:
    ends.listen().close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((ADDRESS, ends.port))
    ends._open.clear()


def test_a_taken_port_is_an_error(ends: Ends) -> None:
    ends.listen()
    with pytest.raises(OSError, match="in use"):
        ends.listen()


# -- TLS ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """A CA with a certificate for each node, and a certificate of somebody else's CA."""
    folder = tmp_path_factory.mktemp("tls")
    signers = {"primary": "ca", "secondary": "ca", "other": "other-ca"}
    return {node: certificate(folder, node, signer) for node, signer in signers.items()}


def test_a_link_under_tls(certificates: dict[str, dict[str, str]]) -> None:
    with contextlib.closing(Ends(certificates)) as ends:
        ends.listen()
        ends.dial()
        here, there = ends.linked()
        both_ways(here, there)
        here.close()
        assert receive_end(there)
        there.close()


@pytest.mark.parametrize("side", ["primary", "secondary"])
@pytest.mark.usefixtures("impatient")
def test_a_certificate_of_another_authority_gets_no_link(side: str, certificates: dict[str, dict[str, str]]) -> None:
    with contextlib.closing(Ends({**certificates, side: certificates["other"]})) as ends:
        ends.listen()
        ends.dial()
        until(lambda: bool(ends.told_here) and bool(ends.told_there), "both to tell")
        assert ends.here.empty()
        assert ends.there.empty()
        refused = {"primary": ends.told_there, "secondary": ends.told_here}[side]
        assert "its certificate is not accepted: " in refused[0]


def test_without_tls_there_is_no_link_to_a_node_that_wants_it(certificates: dict[str, dict[str, str]]) -> None:
    with contextlib.closing(Ends({"secondary": certificates["secondary"]})) as ends:
        ends.listen()
        with socket.create_connection((ADDRESS, ends.port)) as stranger:
            stranger.sendall(Greeting(PRIMARY, KEYS, "primary").begin())
            assert b"FRMS" not in all_said(stranger)
