"""A volume that misbehaves, as its first directory says: `python -m tests.mirror.a_volume --fd N`.

good        opens, and does every order
refuse      refuses, and ends
mute        says nothing
nonsense    says what is no report
flood       opens, then floods its parent
deaf        opens, and neither reads nor ends when its parent has gone
"""

from __future__ import annotations

import argparse
import socket
import time

from mirrord import orders
from mirrord.orders import Alive, Done, Open, Opened, Quit, Refused


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int)
    line = socket.socket(fileno=parser.parse_args().fd)
    reader = line.makefile("rb")
    opening, _ = orders.decode(reader.readline())
    assert isinstance(opening, Open)
    match opening.directories[0]:
        case "refuse":
            line.sendall(orders.encode(Refused("the directory is a file")))
            return
        case "mute":
            time.sleep(1000)
        case "nonsense":
            line.sendall(b"hello\n")
            time.sleep(1000)
        case "flood":
            line.sendall(orders.encode(Opened(empty=True, unclean=False)))
            while True:
                line.sendall(orders.encode(Alive({"changes": 1})) * 1000)
        case "deaf":
            line.sendall(orders.encode(Opened(empty=True, unclean=False)))
            time.sleep(1000)
    line.sendall(orders.encode(Opened(empty=True, unclean=False)))
    for text in reader:
        order, number = orders.decode(text)
        line.sendall(orders.encode(Done(seq=number), number))
        if isinstance(order, Quit):
            return


if __name__ == "__main__":
    main()
