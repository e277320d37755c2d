"""The primary's way to a link: it dials each address of the peer, round after round, until one is greeted."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farmd.errors import FarmError, RemoteError
from farmd.kit.wire import Keyring
from mirrord.volume.link.channel import Channel, channel, tls_context, tune
from mirrord.volume.link.greeting import Greeting, Standing

if TYPE_CHECKING:
    from mirrord.volume.link.channel import Connection

log = logging.getLogger(__name__)

CONNECT_WITHIN_S = 1.0
"""For one address; a network that is cut answers nothing."""

GREET_WITHIN_S = 3.0

UNREACHED = "cannot be reached"

TELL_AFTER_S = 2.0
"""Before that a peer may just be late."""

ROUND_PAUSE_S = 0.2
"""Between two rounds: a peer that begins to follow is found at once."""


@dataclass(frozen=True, slots=True)
class Line:
    """How the two nodes can reach each other."""

    addresses: Sequence[str]
    """Our own; the first one is on the same network as the first one of the peer, and so on."""
    peer_addresses: Sequence[str]
    port: int
    tls: dict[str, str] | None = None


Greeted = Callable[[Channel, int], None]
"""Takes the channel and the version agreed on; called in a thread of the dialler or listener."""

Tell = Callable[[str], None]
"""Takes the reason, in a sentence, why there has been no link for some time; called in such a thread, too."""


class Dialler:
    """Dials in a thread of its own until it is greeted or closed."""

    def __init__(self, line: Line, standing: Standing, keyring: Keyring, greeted: Greeted, tell: Tell) -> None:
        """OSError if the files for TLS cannot be used."""
        self._line = line
        self._standing = standing
        self._keyring = keyring
        self._greeted = greeted
        self._context = tls_context(line.tls, server=False) if line.tls else None
        self._closed = threading.Event()
        self._why: dict[str, str] = {}
        """Why an address was of no use the last time."""
        self._tell = Patient(tell)
        threading.Thread(target=self._dial, name="dialler", daemon=True).start()

    def close(self) -> None:
        """Dials no more. What was greeted at this very moment is closed."""
        self._closed.set()

    def _dial(self) -> None:
        while not self._closed.is_set():
            for number in range(len(self._line.peer_addresses)):
                if self._try(number) or self._closed.is_set():
                    return
            self._tell(_most_telling(list(self._why.items())))
            self._closed.wait(ROUND_PAUSE_S)

    def _try(self, number: int) -> bool:
        address = self._line.peer_addresses[number]
        try:
            connection = self._connect(address, self._line.addresses[number : number + 1])
        except OSError as error:
            self._explain(address, f"{UNREACHED} ({said(error)})")
            return False
        try:
            version = self._greet(connection)
        except (OSError, FarmError) as error:
            connection.close()
            stranger = "; a stranger answers" if isinstance(error, RemoteError) else ""
            self._explain(address, f"{said(error)}{stranger}")
            return False
        if self._closed.is_set():
            connection.close()
        else:
            self._greeted(channel(connection), version)
        return True

    def _connect(self, address: str, own: Sequence[str]) -> Connection:
        # From the address that the peer knows us by, which the routes need not choose by themselves.
        source = (own[0], 0) if own and (":" in own[0]) == (":" in address) else None
        plain = socket.create_connection((address, self._line.port), CONNECT_WITHIN_S, source)
        tune(plain)
        plain.settimeout(GREET_WITHIN_S)
        if self._context is None:
            return plain
        try:
            return self._context.wrap_socket(plain)
        except OSError:
            plain.close()
            raise

    def _greet(self, connection: Connection) -> int:
        greeting = Greeting(self._standing, self._keyring, "primary")
        connection.sendall(greeting.begin())
        while not greeting.version:
            connection.sendall(greeting.receive(_exactly(connection, greeting.wanted)))
        return greeting.version

    def _explain(self, address: str, reason: str) -> None:
        """One line each time that the reason changes, not one each round."""
        if reason != self._why.get(address):
            log.warning("no link to the peer: %s: %s", address, reason)
            self._why[address] = reason


class Patient:
    """Tells a reason once there has been no link for some time, and again when it is another one."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._from_s = time.monotonic() + TELL_AFTER_S
        self._told = ""

    def __call__(self, reason: str) -> None:
        if reason != self._told and time.monotonic() >= self._from_s:
            self._told = reason
            self._tell(reason)


def _most_telling(reasons: Sequence[tuple[str, str]]) -> str:
    """Of those of all addresses: what somebody there has answered, rather than that nobody did."""
    address, reason = next(((at, why) for at, why in reasons if not why.startswith(UNREACHED)), reasons[0])
    return f"{address} {reason}" if reason.startswith(UNREACHED) else f"at {address}: {reason}"


def _exactly(connection: Connection, count: int) -> bytes:
    received = b""
    while len(received) < count:
        some = connection.recv(count - len(received))
        if not some:
            raise ConnectionResetError(
                "the peer closes the connection without a word: it does not follow, or has other keys or another mirror"
            )
        received += some
    return received


def said(error: OSError | FarmError) -> str:
    """What an error says of the other end. Of TLS in words, without a line of OpenSSL's source."""
    if refused := getattr(error, "verify_message", ""):
        return f"its certificate is not accepted: {refused}"
    if refused := getattr(error, "reason", ""):
        return f"TLS fails: {refused.lower().replace('_', ' ')}"
    return str(getattr(error, "strerror", None) or error)
