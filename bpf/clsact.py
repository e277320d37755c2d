"""What is on an interface's clsact qdisc besides our filter: two netlink dumps, see rtnetlink(7) and tc(8).

libbpf attaches and detaches but does not list, and the qdisc may be removed only if nobody else uses it.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

# <linux/rtnetlink.h>, <linux/netlink.h>, <linux/pkt_sched.h>
_NEW_QDISC, _GET_QDISC, _NEW_FILTER, _GET_FILTER = 36, 38, 44, 46
_REQUEST_DUMP = 0x301
_ERROR, _DONE = 2, 3
_CLSACT = 0xFFFFFFF1  # TC_H_CLSACT, the qdisc's place; minors 2 and 3 of it are ingress and egress
_INGRESS, _EGRESS = 0xFFFFFFF2, 0xFFFFFFF3
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_TC = struct.Struct("=BxxxiIII")  # tcmsg: family, ifindex, handle, parent, info


def has_clsact(ifindex: int) -> bool:
    """Whether the interface has a clsact qdisc, ours or another's."""
    return any(
        index == ifindex and parent == _CLSACT and b"clsact\0" in attributes
        for index, parent, attributes in _dump(_GET_QDISC, _NEW_QDISC, ifindex, 0)
    )


def is_empty(ifindex: int) -> bool:
    """Whether no filter at all is on the interface's clsact qdisc, in either direction."""
    return not any(
        index == ifindex
        for parent in (_INGRESS, _EGRESS)
        for index, _, _ in _dump(_GET_FILTER, _NEW_FILTER, ifindex, parent)
    )


def _dump(get: int, new: int, ifindex: int, parent: int) -> Iterator[tuple[int, int, bytes]]:
    """The kernel's answer: interface, parent and attributes of each object."""
    body = _TC.pack(socket.AF_UNSPEC, ifindex, 0, parent, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as route:
        route.send(_HEADER.pack(_HEADER.size + len(body), get, _REQUEST_DUMP, 1, 0) + body)
        while True:
            answer, at = route.recv(1 << 16), 0
            while at < len(answer):
                length, kind, _, _, _ = _HEADER.unpack_from(answer, at)
                if kind in (_ERROR, _DONE):
                    return
                if kind == new:
                    _, index, _, above, _ = _TC.unpack_from(answer, at + _HEADER.size)
                    yield index, above, answer[at + _HEADER.size + _TC.size : at + length]
                at += (length + 3) & ~3
