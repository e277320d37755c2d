"""The secondary's way to a link: it listens while it is told to follow, and greets whoever comes.

A stranger gets no answer, and cannot keep the port busy: a greeting has a time limit, it is read only as far as it is
needed, and when there are too many half-open ones the oldest gives way. All are served by one thread, which the stream
does not wait for.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import socket
import threading
import time
from typing import TYPE_CHECKING

from farmd.errors import RemoteError
from farmd.kit.wire import Keyring
from mirrord.volume.link.channel import channel, tls_context, tune
from mirrord.volume.link.dialling import GREET_WITHIN_S, Greeted, Line, Patient, Tell, said
from mirrord.volume.link.greeting import Disagreement, Greeting, Standing

if TYPE_CHECKING:
    import ssl

    from mirrord.volume.link.channel import Connection

log = logging.getLogger(__name__)

HALF_OPEN_MAX = 64
_IPV6_FREEBIND = 78  # linux/in6.h
_IP_FREEBIND = 15  # linux/in.h


class Listener:
    """Listens on each of our addresses; each peer that proves to be one is handed over, and replaces an earlier one."""

    def __init__(self, line: Line, standing: Standing, keyring: Keyring, greeted: Greeted, tell: Tell) -> None:
        """OSError if the port is taken or the files for TLS cannot be used."""
        self._standing = standing
        self._keyring = keyring
        self._greeted = greeted
        self._why = ""
        """Why a peer was turned away, the last time."""
        self._tell = Patient(tell)
        self._peer_addresses = frozenset(line.peer_addresses)
        self._context = tls_context(line.tls, server=True) if line.tls else None
        self._guests: dict[int, Guest] = {}
        """Half-open greetings by descriptor, the oldest first."""
        self._selector = selectors.DefaultSelector()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._doors: list[socket.socket] = []
        try:
            for address in line.addresses:
                self._doors.append(_door(address, line.port))
                self._selector.register(self._doors[-1], selectors.EVENT_READ)
        except OSError:
            self._close_all()
            raise
        self._thread = threading.Thread(target=self._listen, name="listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Nobody is handed over any more when this returns."""
        os.eventfd_write(self._wake, 1)
        self._thread.join()

    def _listen(self) -> None:
        while True:
            for key, _ in self._selector.select(self._patience_s()):
                if key.fd == self._wake:
                    self._close_all()
                    return
                if isinstance(key.data, Guest):
                    self._serve(key.data)
                else:
                    self._welcome(key.fileobj)  # type: ignore[arg-type]
            now = time.monotonic()
            for guest in [guest for guest in self._guests.values() if guest.until_s <= now]:
                self._dismiss(guest)

    def _patience_s(self) -> float | None:
        first = next(iter(self._guests.values()), None)
        return max(0.0, first.until_s - time.monotonic()) if first else None

    def _welcome(self, door: socket.socket) -> None:
        try:
            connection, (address, *_) = door.accept()
        except OSError:  # it was closed before we looked, or there are no descriptors left
            return
        tune(connection)
        guest = Guest(connection, address, self._context, Greeting(self._standing, self._keyring, "secondary"))
        if len(self._guests) == HALF_OPEN_MAX:
            self._dismiss(next(iter(self._guests.values())))
        self._guests[guest.connection.fileno()] = guest
        self._selector.register(guest.connection, selectors.EVENT_READ, guest)

    def _serve(self, guest: Guest) -> None:
        try:
            guest.go_on()
        except Disagreement as disagreement:
            self._explain(str(disagreement))
            self._dismiss(guest)
        except (OSError, RemoteError) as error:
            if guest.address in self._peer_addresses and _tells(error):
                self._explain(f"what comes from {guest.address} is not the peer: {said(error)}")
            self._dismiss(guest)
        else:
            if guest.greeting.version:
                self._forget(guest)
                self._greeted(channel(guest.connection), guest.greeting.version)

    def _explain(self, reason: str) -> None:
        """One line each time that the reason changes: a peer tries again and again."""
        if reason != self._why:
            log.warning("no link to the peer: %s", reason)
            self._why = reason
        self._tell(reason)

    def _forget(self, guest: Guest) -> None:
        del self._guests[guest.connection.fileno()]
        self._selector.unregister(guest.connection)

    def _dismiss(self, guest: Guest) -> None:
        self._forget(guest)
        guest.connection.close()

    def _close_all(self) -> None:
        for guest in list(self._guests.values()):
            self._dismiss(guest)
        for door in self._doors:
            door.close()
        self._selector.close()
        os.close(self._wake)


class Guest:
    """One half-open greeting."""

    def __init__(
        self, connection: socket.socket, address: str, context: ssl.SSLContext | None, greeting: Greeting
    ) -> None:
        connection.setblocking(False)
        self.address = address
        self.until_s = time.monotonic() + GREET_WITHIN_S
        self.greeting = greeting
        self.connection: Connection = connection
        self._handshake_due = context is not None
        if context is not None:
            self.connection = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        self._received = b""

    def go_on(self) -> None:
        """As far as it goes with what has come. OSError or RemoteError: a stranger; Disagreement: a peer, who was
        told."""
        try:
            while not self.greeting.version:
                self._handshake()
                some = self.connection.recv(self.greeting.wanted - len(self._received))
                if not some:
                    raise ConnectionResetError
                self._received += some
                if len(self._received) == self.greeting.wanted:
                    received, self._received = self._received, b""
                    self._answer(received)
        except OSError as error:
            if not _must_wait(error):
                raise

    def _handshake(self) -> None:
        if self._handshake_due:
            self.connection.do_handshake()  # type: ignore[union-attr]
            self._handshake_due = False

    def _answer(self, received: bytes) -> None:
        try:
            self.connection.sendall(self.greeting.receive(received))  # some hundred bytes: the buffer is empty
        except Disagreement as disagreement:
            with contextlib.suppress(OSError):
                self.connection.sendall(self.greeting.farewell(disagreement))
            raise


def _tells(error: OSError | RemoteError) -> bool:
    """Whether it says what is wrong at the other end, and not that it has gone."""
    return isinstance(error, RemoteError) or type(error).__name__ in ("SSLError", "SSLCertVerificationError")


def _must_wait(error: OSError) -> bool:
    # By name, so that ssl is loaded only where it is used; the server's side never has to wait for room to write.
    return isinstance(error, BlockingIOError) or type(error).__name__ in ("SSLWantReadError", "SSLWantWriteError")


def _door(address: str, port: int) -> socket.socket:
    version_6 = ":" in address
    door = socket.socket(socket.AF_INET6 if version_6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # The address may be on an interface that is down now.
        if version_6:
            door.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
            door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        else:
            door.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        door.bind((address, port))
        door.listen(HALF_OPEN_MAX)
    except OSError:
        door.close()
        raise
    door.setblocking(False)
    return door
