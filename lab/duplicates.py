"""Watches a client place for what a farm must never do: answer twice, or send from the vmac.

    python -m lab.duplicates --vip 10.0.0.100 --vip fd00::100

It prints {"event": "ready"} when it listens and {"event": "result", ...} on SIGTERM (packet(7) is where it listens).
Two answers are two SYN-ACKs with different sequence numbers to one SYN, a SYN-ACK and a reset to one SYN (RFC 9293,
3.10.7.1: such a reset acknowledges the SYN), or two replies to one echo request. A SYN that was sent again is the same
SYN; the measuring clients give up before TCP sends one again. A reset in mid-connection is no answer to a SYN.
"""

import argparse
import json
import signal
import socket
import struct
from collections import OrderedDict
from dataclasses import asdict, dataclass, field
from ipaddress import ip_address

FLOWS_MAX = 65_536
"""Questions remembered, the newest; an answer comes within a second or never."""
EXAMPLES_MAX = 20
MACS_MAX = 1024

ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 0x0003, 0x0800, 0x86DD
SOL_PACKET, PACKET_STATISTICS, SO_RCVBUFFORCE = 263, 6, 33
TCP, ICMP, ICMPV6 = 6, 1, 58
SYN, RST, ACK = 0x02, 0x04, 0x10
ECHO_REQUEST, ECHO_REPLY = {ICMP: 8, ICMPV6: 128}, {ICMP: 0, ICMPV6: 129}


@dataclass(slots=True)
class Counts:
    """What was seen; `duplicates` and `vmac_sources` are zero on a correct farm."""

    frames: int = 0
    missed: int = 0
    """Frames that came faster than they were read, and so were not looked at."""
    questions: int = 0
    """SYNs and echo requests that the clients sent to a VIP."""
    answered: int = 0
    duplicates: int = 0
    vmac_sources: int = 0
    """Addresses that clients send VIP frames to and that frames were also sent from."""
    examples: list[str] = field(default_factory=list)
    """The first duplicates, in words."""


class Watch:
    """Counts answers; pure, of bounded size."""

    def __init__(self, vips: list[str], routed: bool = False) -> None:
        """`routed`: the clients send to a router, whose address is no vmac."""
        self.routed = routed
        self.vips = {ip_address(vip).packed for vip in vips}
        self.counts = Counts()
        self._answers: OrderedDict[tuple[bytes | int, ...], list[str]] = OrderedDict()
        self._vmacs: set[bytes] = set()
        self._senders: set[bytes] = set()

    def frame(self, frame: bytes, sent: bool) -> None:
        """Look at one Ethernet frame, sent by this place or received."""
        self.counts.frames += 1
        if not sent and len(self._senders) < MACS_MAX:
            self._senders.add(frame[6:12])
        packet = _packet(frame)
        if packet is None:
            return
        source, target, protocol, payload = packet
        if sent and target in self.vips:
            if not self.routed and not frame[0] & 1 and len(self._vmacs) < MACS_MAX:
                self._vmacs.add(frame[:6])
            self._sent(source, target, protocol, payload)
        elif not sent and source in self.vips:
            self._received(source, target, protocol, payload)

    def result(self) -> Counts:
        """The counts so far."""
        self.counts.vmac_sources = len(self._vmacs & self._senders)
        return self.counts

    def _sent(self, source: bytes, target: bytes, protocol: int, payload: bytes) -> None:
        if protocol == TCP and len(payload) >= 20 and payload[13] & (SYN | ACK) == SYN:
            self._question((source, target, payload[0:4], int.from_bytes(payload[4:8], "big")))
        elif protocol in ECHO_REQUEST and len(payload) >= 8 and payload[0] == ECHO_REQUEST[protocol]:
            self._question((source, target, payload[4:8]))

    def _received(self, source: bytes, target: bytes, protocol: int, payload: bytes) -> None:
        if protocol == TCP and len(payload) >= 20 and payload[13] & ACK and payload[13] & (SYN | RST):
            ports = payload[2:4] + payload[0:2]
            asked = (int.from_bytes(payload[8:12], "big") - 1) & 0xFFFFFFFF
            answer = f"SYN-ACK {payload[4:8].hex()}" if payload[13] & SYN else "RST"
            self._answer((target, source, ports, asked), answer, again=False)
        elif protocol in ECHO_REPLY and len(payload) >= 8 and payload[0] == ECHO_REPLY[protocol]:
            self._answer((target, source, payload[4:8]), "echo reply", again=True)

    def _question(self, key: tuple[bytes | int, ...]) -> None:
        if key in self._answers:
            return
        self.counts.questions += 1
        self._answers[key] = []
        if len(self._answers) > FLOWS_MAX:
            self._answers.popitem(last=False)

    def _answer(self, key: tuple[bytes | int, ...], answer: str, again: bool) -> None:
        """`again`: the same answer a second time is a duplicate too; TCP may repeat its SYN-ACK."""
        answers = self._answers.get(key)
        if answers is None or (answer in answers and not again):
            return
        answers.append(answer)
        if len(answers) == 1:
            self.counts.answered += 1
            return
        self.counts.duplicates += 1
        if len(self.counts.examples) < EXAMPLES_MAX:
            client = ip_address(bytes(key[0])) if isinstance(key[0], bytes) else key[0]
            self.counts.examples.append(f"{client} got {' and '.join(answers[-2:])}")


def _packet(frame: bytes) -> tuple[bytes, bytes, int, bytes] | None:
    """Source, destination, protocol and payload of an IP packet that is no later fragment; None for all else."""
    kind = int.from_bytes(frame[12:14], "big")
    if kind == ETH_P_IP and len(frame) >= 34:
        later_fragment = int.from_bytes(frame[20:22], "big") & 0x1FFF
        start = 14 + (frame[14] & 0x0F) * 4
        return None if later_fragment else (frame[26:30], frame[30:34], frame[23], frame[start:])
    if kind == ETH_P_IPV6 and len(frame) >= 54:
        return frame[22:38], frame[38:54], frame[20], frame[54:]
    return None


def listen(interface: str, watch: Watch) -> None:
    """Show every frame of the interface to the watch, until SIGTERM and then what is still queued."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
        raw.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        raw.bind((interface, ETH_P_ALL))
        print(json.dumps({"event": "ready"}), flush=True)
        stopping = False

        def stop(*_: object) -> None:
            nonlocal stopping
            stopping = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        # A read that ends every 100 ms notices the signal without a second system call per frame.
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 100_000))
        buffer = bytearray(128)
        while True:
            try:
                length, address = raw.recvfrom_into(buffer, flags=socket.MSG_DONTWAIT if stopping else 0)
            except BlockingIOError:
                if stopping:
                    break
                continue
            watch.frame(bytes(buffer[:length]), sent=address[2] == socket.PACKET_OUTGOING)
        _, watch.counts.missed = struct.unpack("II", raw.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))


def main() -> None:
    """Entry of `python -m lab.duplicates`."""
    parser = argparse.ArgumentParser(prog="lab.duplicates", description="Count answers that a farm gives twice.")
    parser.add_argument("--interface", default="eth0")
    parser.add_argument("--vip", action="append", required=True, help="a virtual address; may be given again")
    parser.add_argument("--routed", action="store_true", help="a router stands between here and the farm")
    arguments = parser.parse_args()
    watch = Watch(arguments.vip, arguments.routed)
    listen(arguments.interface, watch)
    print(json.dumps({"event": "result", **asdict(watch.result())}), flush=True)


if __name__ == "__main__":
    main()
