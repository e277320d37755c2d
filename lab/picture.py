"""README's pictures: what `farmctl top` shows of a lab under load, when a node that lost its power is just back."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from lab import measure, services
from lab.machine import CHECKOUT
from lab.mirror import MirrorLab, plain
from lab.network import Lab
from lab.showing import showing
from lab.topology import FAR, LAN, VIPS, Topology
from lab.waiting import until

PICTURES = Path(CHECKOUT, "lab/pictures")
NODES = 3
SEEN_FROM, VICTIM = "n1", "n2"
REQUESTS_PER_S_MIN = 1000
RESYNC_FILES, RESYNC_MB_S = 60, 40
FILE_BYTES = 5_000_000
"""Files that are written while a mirror's second node is away, and how fast they are sent, so that there is time for a
picture.
"""
CHECK = """
[[check]]
name = "web"
http = "http://127.0.0.1/"
"""


def draw(lab: Lab, file: Path) -> None:
    """Save the picture."""
    until(lambda: _calm(lab), "the buckets to have settled", timeout_s=30.0)
    vip = str(VIPS[0])
    with measure.requests(lab, LAN, vip, timeout_ms=3000.0), measure.requests(lab, FAR, vip, timeout_ms=3000.0):
        lab.kill(VICTIM)
        lab.wait_converged(*(node for node in lab.topology.node_names if node != VICTIM))
        lab.start(VICTIM)
        until(lambda: _taken_back(lab), f"{VICTIM} to have its share and its clients back")
        lab.exec(SEEN_FROM, *services.farmctl("top", "--svg", str(file.absolute())))


def draw_mirror(lab: MirrorLab, file: Path) -> None:
    """Save the picture of a mirror."""
    lab.wait(SEEN_FROM, role="PRIM", in_sync=True)
    lab.kill(VICTIM)
    lab.wait(SEEN_FROM, role="ALONE")
    write = f"for i in $(seq {RESYNC_FILES}); do head -c {FILE_BYTES} /dev/urandom > /srv/data/$i; done; "
    write += "while :; do echo > /srv/data/small; done"
    writer = lab.popen(SEEN_FROM, "sh", "-c", write)
    try:
        until(lambda: _written(lab), "the writer to have written", timeout_s=60.0)
        lab.start(VICTIM)
        until(lambda: _half_sent(lab), "the resync to be half done", timeout_s=60.0)
        lab.exec(SEEN_FROM, *services.farmctl("top", "--svg", str(file.absolute())))
    finally:
        writer.terminate()
        writer.communicate()


def _written(lab: MirrorLab) -> bool:
    return lab.path(SEEN_FROM, "/srv/data/small").exists()


def _half_sent(lab: MirrorLab) -> bool:
    progress: dict[str, Any] = lab.status(SEEN_FROM).get("progress") or {}
    return bool(progress) and progress["sent_bytes"] > RESYNC_FILES * FILE_BYTES / 2


def _calm(lab: Lab) -> bool:
    answer = lab.farm_status(SEEN_FROM)
    return answer is not None and bool(answer["converged"]) and not answer["moving"]


def _taken_back(lab: Lab) -> bool:
    """Whether the victim owns buckets, while their old flows may still be elsewhere, and has told of its traffic."""
    answer = lab.farm_status(SEEN_FROM)
    if answer is None or not answer["converged"]:
        return False
    victim = next(member for member in answer["members"] if member["name"] == VICTIM)
    traffic = victim["traffic"]
    return bool(answer["moving"] and traffic and traffic["accepted_per_s"] > REQUESTS_PER_S_MIN)


def main() -> int:
    """Builds a lab, saves the picture and removes the lab; the exit status."""
    parser = argparse.ArgumentParser("picture", description="Save a picture of farmctl top, made from a running lab.")
    parser.add_argument("file", nargs="?", type=Path, help="default: README's picture")
    parser.add_argument("--mirror", action="store_true", help="of a mirror, while it is brought up to date")
    arguments = parser.parse_args()
    file = arguments.file or PICTURES / ("mirror.svg" if arguments.mirror else "top.svg")
    name = f"picture-{os.getpid()}"
    with showing("picture", Console(stderr=True)):
        if arguments.mirror:
            with MirrorLab(name, [plain("db", resync_rate_mb_s=str(RESYNC_MB_S))]) as mirror:
                draw_mirror(mirror, file)
        else:
            with Lab(name, config=services.farm_config(Topology(NODES)) + CHECK, nodes=NODES) as lab:
                draw(lab, file)
    print(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
