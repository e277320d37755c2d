"""The greeting of a link: who gets in, who is told why not, and who is told nothing."""

import dataclasses
import itertools

import pytest

from farmd.errors import Forged, Malformed, RemoteError
from mirrord.volume.link.greeting import Disagreement, Greeting, Standing, keyring

KEYS = ["11" * 32, "22" * 32]
PRIMARY = Standing("db", 1, 2, (3, 1))
SECONDARY = Standing("db", 2, 1, (3, 1))


def primary(standing: Standing = PRIMARY, keys: list[str] = KEYS) -> Greeting:
    return Greeting(standing, keyring(keys), "primary")


def secondary(standing: Standing = SECONDARY, keys: list[str] = KEYS) -> Greeting:
    return Greeting(standing, keyring(keys), "secondary")


def tell(listener: Greeting, message: bytes) -> bytes:
    """What the listener answers to a whole message."""
    position = 0
    answer = b""
    while position < len(message):
        wanted = listener.wanted
        answer += listener.receive(message[position : position + wanted])
        position += wanted
    return answer


def greet(dialler: Greeting, listener: Greeting) -> list[bytes]:
    """Everything that was said, until both agree."""
    said = [dialler.begin()]
    for hearer in itertools.cycle((listener, dialler)):
        said.append(tell(hearer, said[-1]))
        if dialler.version and listener.version:
            return said
    raise AssertionError


def test_two_nodes_of_a_mirror_agree() -> None:
    dialler, listener = primary(), secondary()
    greet(dialler, listener)
    assert (dialler.version, listener.version) == (1, 1)


def test_a_key_is_replaced_without_an_interruption() -> None:
    old, both, new = KEYS[:1], KEYS, KEYS[1:]
    greet(primary(keys=old), secondary(keys=both))
    greet(primary(keys=both[::-1]), secondary(keys=both))
    greet(primary(keys=new), secondary(keys=both[::-1]))


@pytest.mark.parametrize("versions", [(1, 2), (2, 2), (2, 3)])
def test_neighbouring_versions_speak_the_common_one(versions: tuple[int, int]) -> None:
    ours = dataclasses.replace(PRIMARY, versions=(1, 2))
    dialler, listener = primary(ours), secondary(dataclasses.replace(SECONDARY, versions=versions))
    greet(dialler, listener)
    assert dialler.version == listener.version == 2


def refusal(dialler: Greeting, listener: Greeting) -> tuple[str, str]:
    """The sentences of the secondary's log and of the primary's."""
    with pytest.raises(Disagreement) as theirs:
        greet(dialler, listener)
    with pytest.raises(Disagreement) as ours:
        tell(dialler, listener.farewell(theirs.value))
    return str(theirs.value), str(ours.value)


def test_an_older_version_is_refused_in_both_logs() -> None:
    there, here = refusal(primary(), secondary(dataclasses.replace(SECONDARY, versions=(2, 3))))
    assert there == "node 2 speaks versions 2 to 3 of the stream and its peer 1 to 1; upgrade the older one"
    assert here == f"the peer refuses the link: {there}"


def test_another_generation_is_refused_in_both_logs() -> None:
    there, here = refusal(primary(), secondary(dataclasses.replace(SECONDARY, generation=(4, 2))))
    assert there == "node 2 is at generation 4.2 and node 1 at 3.1"
    assert here == f"the peer refuses the link: {there}"


def test_another_node_is_refused_in_both_logs() -> None:
    there, here = refusal(primary(dataclasses.replace(PRIMARY, node=3)), secondary())
    assert there == "node 2 expects node 1, and the other end is node 3 which expects node 2"
    assert here == f"the peer refuses the link: {there}"


@pytest.mark.parametrize("keys", [["33" * 32]])
def test_a_stranger_with_another_key_gets_no_answer(keys: list[str]) -> None:
    with pytest.raises(Forged):
        tell(secondary(), primary(keys=keys).begin())
    listener = secondary(keys=keys)
    dialler = primary(keys=KEYS)
    with pytest.raises(Forged):
        tell(listener, dialler.begin())


def test_a_node_of_another_mirror_gets_no_answer_and_names_are_not_said() -> None:
    hello = primary(dataclasses.replace(PRIMARY, mirror="payroll")).begin()
    assert b"payroll" not in hello
    with pytest.raises(Forged):
        tell(secondary(), hello)


def test_what_was_recorded_proves_nothing() -> None:
    said = greet(primary(), secondary())
    listener = secondary()
    tell(listener, said[0])  # the nonces that it answers with tell nobody anything
    with pytest.raises(Forged):
        tell(listener, said[2])
    dialler = primary()
    dialler.begin()
    with pytest.raises(Forged):
        tell(dialler, said[1])


def test_a_message_cannot_be_sent_back_to_its_author() -> None:
    dialler = primary()
    with pytest.raises(Forged):
        tell(dialler, dialler.begin())


def test_a_greeting_has_its_order() -> None:
    listener = secondary()
    tell(listener, primary().begin())
    with pytest.raises(RemoteError):
        tell(listener, primary().begin())


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\n", b"\0" * 6, b"FRMS\xff\xff"])
def test_other_protocols_are_no_greeting(noise: bytes) -> None:
    with pytest.raises(Malformed):
        tell(secondary(), noise)


@pytest.mark.parametrize("place", range(0, 150, 7))
def test_no_byte_can_be_changed_on_the_way(place: int) -> None:
    dialler, listener = primary(), secondary()
    proof = bytearray(tell(dialler, tell(listener, dialler.begin())))
    proof[place % len(proof)] ^= 1
    with pytest.raises(RemoteError):
        # A length that was made longer only makes it wait for what never comes.
        tell(listener, bytes(proof) + bytes(300))
    assert not listener.version
