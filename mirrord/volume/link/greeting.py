"""The greeting that opens a link: both ends prove that they hold a key of the mirror, and agree on what they are.

    primary                                 secondary
    HELLO      versions, a nonce     ->
                                     <-     CHALLENGE   versions, a nonce
    PROOF      node, generation      ->
                                     <-     WELCOME     node, generation    or    REFUSED   one sentence

Each message is the magic "FRMS", the length of its body (big-endian, 2 bytes), the body (JSON) and a MAC of everything
that was said so far, under the name of the speaker's side and the mirror's name, which itself is never sent. So the
listener says nothing at all before a key holder has spoken; what a key holder said once proves nothing the next time,
because the nonces differ; and no message can be sent back to its author. This form never changes, so that programs of
any two versions understand each other's refusal.

It vouches for the ends of the link. What then goes through it is as safe as the network is; TLS is for other networks.
No bytes are read or written here.
"""

from __future__ import annotations

import json
import secrets
import struct
from dataclasses import dataclass
from typing import Any, Literal

from farmd.errors import FarmError, Forged, Malformed
from farmd.kit.wire import MAC_BYTES, Keyring

VERSIONS = (1, 1)
"""The oldest and the newest version of the stream that this program speaks."""

_MAGIC = b"FRMS"
_HEAD = struct.Struct(">4sH")
_BODY_BYTES_MAX = 1024
_NONCE_BYTES = 16
_SENTENCE_CHARACTERS_MAX = 300

Side = Literal["primary", "secondary"]


@dataclass(frozen=True, slots=True)
class Standing:
    """What one end of a link is."""

    mirror: str
    node: int
    peer: int
    generation: tuple[int, int]
    """Both ends must have been told the same one by their daemons."""
    versions: tuple[int, int] = VERSIONS


class Disagreement(FarmError):  # noqa: N818 - what it is, as in farmd.errors
    """A key holder is at the other end, but no link is possible; one plain sentence for both logs."""


class Greeting:
    """One end's part. `receive` takes exactly `wanted` bytes and returns what is to be sent."""

    def __init__(self, standing: Standing, keyring: Keyring, side: Side) -> None:
        self.wanted = _HEAD.size
        self.version = 0
        """Of the stream, once both ends have agreed; the greeting is over then."""
        self._standing = standing
        self._keyring = keyring
        self._side: Side = side
        self._said = b""
        self._common_version = 0
        self._head = b""
        self._due = "challenge" if side == "primary" else "hello"
        self._answers = {
            "hello": self._greeted, "challenge": self._challenged, "proof": self._proved, "welcome": self._welcomed
        }  # fmt: skip

    def begin(self) -> bytes:
        """What the primary says first."""
        return self._say("hello", {"versions": self._standing.versions, "nonce": secrets.token_hex(_NONCE_BYTES)})

    def receive(self, received: bytes) -> bytes:
        """Raises Malformed or Forged for a stranger, who is to get no answer; Disagreement for a peer, after which
        `farewell` is still to be sent."""
        assert len(received) == self.wanted, "a greeting is read as it asks for"
        if not self._head:
            magic, body_bytes = _HEAD.unpack(received)
            if magic != _MAGIC or body_bytes > _BODY_BYTES_MAX:
                raise Malformed("the connection does not begin as ours do")
            self._head, self.wanted = received, body_bytes + MAC_BYTES
            return b""
        message, self._head, self.wanted = self._head + received, b"", _HEAD.size
        try:
            return self._answer(self._authentic(message))
        except (KeyError, TypeError, ValueError) as error:
            raise Malformed("the peer's greeting lacks what ours has") from error

    def _answer(self, fields: dict[str, Any]) -> bytes:
        what = fields["what"]
        if what == "refused":
            raise Disagreement(f"the peer refuses the link: {fields['sentence'][:_SENTENCE_CHARACTERS_MAX]}")
        if what != self._due:
            raise Malformed(f"the peer says {what} where {self._due} is due")
        return self._answers[what](fields)

    def farewell(self, disagreement: Disagreement) -> bytes:
        """What the secondary says to a peer with which no link is possible."""
        return self._say("refused", {"sentence": str(disagreement)})

    # -- the steps -----------------------------------------------------------------------------------------------------

    def _greeted(self, fields: dict[str, Any]) -> bytes:
        self._agree_on_version(fields)
        self._due = "proof"
        return self._say("challenge", {"versions": self._standing.versions, "nonce": secrets.token_hex(_NONCE_BYTES)})

    def _challenged(self, fields: dict[str, Any]) -> bytes:
        self._agree_on_version(fields)
        self._due = "welcome"
        return self._say("proof", self._own())

    def _proved(self, fields: dict[str, Any]) -> bytes:
        self._check_peer(fields)
        self.version = self._common_version
        return self._say("welcome", self._own())

    def _welcomed(self, fields: dict[str, Any]) -> bytes:
        self._check_peer(fields)
        self.version = self._common_version
        return b""

    def _own(self) -> dict[str, Any]:
        own = self._standing
        return {"node": own.node, "peer": own.peer, "generation": own.generation}

    def _agree_on_version(self, fields: dict[str, Any]) -> None:
        (own_oldest, own_newest), (oldest, newest) = self._standing.versions, fields["versions"]
        self._common_version = min(own_newest, newest)
        if self._common_version < max(own_oldest, oldest):
            raise Disagreement(
                f"node {self._standing.node} speaks versions {own_oldest} to {own_newest} of the stream and its peer "
                f"{oldest} to {newest}; upgrade the older one"
            )

    def _check_peer(self, fields: dict[str, Any]) -> None:
        own = self._standing
        if (fields["node"], fields["peer"]) != (own.peer, own.node):
            raise Disagreement(
                f"node {own.node} expects node {own.peer}, and the other end is node {fields['node']} which expects "
                f"node {fields['peer']}"
            )
        if tuple(fields["generation"]) != own.generation:
            raise Disagreement(
                f"node {own.node} is at generation {_named(own.generation)} and node {own.peer} at "
                f"{_named(fields['generation'])}"
            )

    # -- messages ------------------------------------------------------------------------------------------------------

    def _say(self, what: str, fields: dict[str, Any]) -> bytes:
        body = json.dumps({"what": what, **fields}).encode()
        message = _HEAD.pack(_MAGIC, len(body)) + body
        message += self._keyring.sign(self._signed(self._side, message))
        self._said += message
        return message

    def _authentic(self, message: bytes) -> dict[str, Any]:
        other: Side = "secondary" if self._side == "primary" else "primary"
        signed, mac = message[:-MAC_BYTES], message[-MAC_BYTES:]
        if not self._keyring.verifies(self._signed(other, signed), mac):
            raise Forged("the other end does not hold a key of this mirror")
        self._said += message
        fields: dict[str, Any] = json.loads(signed[_HEAD.size :])
        return fields

    def _signed(self, side: Side, message: bytes) -> bytes:
        return b"\0".join((side.encode(), self._standing.mirror.encode(), self._said + message))


def keyring(keys: list[str]) -> Keyring:
    """The keys as the daemon gives them, for greetings only."""
    return Keyring([bytes.fromhex(key) for key in keys], purpose=b"mirrord.stream")


def _named(generation: list[int] | tuple[int, ...]) -> str:
    return ".".join(str(each) for each in generation)
