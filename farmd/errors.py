"""The error tree: whose fault it is decides what happens next.

A configuration is corrected by its author, a peer's bad bytes are counted and dropped, a machine that cannot do what
was asked is told about in one sentence. Whatever is not a FarmError is our own bug and ends the program.
"""

from __future__ import annotations


class FarmError(Exception):
    """The base of every error that is not a bug of ours; `str()` is one plain sentence."""


class ConfigError(FarmError):
    """The configuration is wrong; raised before anything on the machine is touched.

    key: the path of the key at fault, such as `node[2].weight` (arrays count from 0), or the file's own path when the
        fault is not in one key.
    sentence: what is wrong with it, without the key and without a full stop.
    """

    def __init__(self, key: str, sentence: str) -> None:
        super().__init__(f"{key}: {sentence}")
        self.key = key
        self.sentence = sentence


class MachineError(FarmError):
    """This machine cannot do what was asked; one plain sentence says why."""


class RemoteError(FarmError):
    """Bytes from the network that are not a peer's message; counted by class and dropped."""


# The names below say what the bytes are, and become the names of counters; an "Error" on each would add nothing.
class Truncated(RemoteError):  # noqa: N818
    """Shorter than the smallest message."""


class Malformed(RemoteError):  # noqa: N818
    """Not a message of this product, or an authentic one whose content contradicts itself."""


class OtherVersion(RemoteError):  # noqa: N818
    """Of a version of the wire format that this program does not speak."""


class OtherFarm(RemoteError):  # noqa: N818
    """Meant for a farm of another name on the same network."""


class Forged(RemoteError):  # noqa: N818
    """Not sealed with any of our keys, or changed on the way."""
