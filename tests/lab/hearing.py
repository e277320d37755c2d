"""Who hears whom: every place broadcasts a datagram, and every place tells which ones arrived.

A broadcast needs no ARP, so this sees one direction at a time.
"""

import subprocess
import sys

from lab.network import Lab

PORT = 9999

LISTEN = f"""
import socket
ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
ear.bind(("0.0.0.0", {PORT}))
print("listening", flush=True)
while (heard := ear.recv(100).decode()) != "that is all":
    print(heard, flush=True)
"""

SPEAK = f"""
import socket, sys
mouth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
mouth.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
mouth.sendto(sys.argv[1].encode(), (sys.argv[2], {PORT}))
"""


def hearing(lab: Lab, *places: str, broadcast: str = "10.0.255.255") -> set[tuple[str, str]]:
    """Pairs of places: speaker, hearer. Delivery on one machine is done when the speaker's sendto() returns."""
    ears = {place: lab.popen(place, sys.executable, "-c", LISTEN, stdout=subprocess.PIPE) for place in places}
    for ear in ears.values():
        assert ear.stdout is not None
        assert ear.stdout.readline() == b"listening\n"
    for place in places:
        lab.exec(place, sys.executable, "-c", SPEAK, place, broadcast)
    for place in places:
        lab.exec(place, sys.executable, "-c", SPEAK, "that is all", "127.0.0.1")
    heard = {hearer: ear.communicate(timeout=10)[0].decode().split() for hearer, ear in ears.items()}
    return {(speaker, hearer) for hearer, speakers in heard.items() for speaker in speakers if speaker != hearer}
