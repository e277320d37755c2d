"""GlusterFS in the lab: two volumes with two replicas, one with write-behind and one without, on the nodes' own disks.

Its daemons live in the machines, and end with them.
"""

from __future__ import annotations

from lab.errors import LabError
from lab.mirror import NODES, MirrorLab
from lab.waiting import until

VOLUMES = {"/run/replicated/behind": "behind", "/run/replicated/sync": "sync"}
"""Where each volume is mounted on the first node. "sync" acknowledges a write when both replicas have it."""

_PREPARE = """
set -e
mount -t tmpfs log /var/log
mkdir -p /var/log/glusterfs /var/lib/glusterd /srv/bricks
printf '127.0.0.1 localhost\n10.99.0.1 n1\n10.99.0.2 n2\n' > /etc/hosts
"""


def start(lab: MirrorLab) -> None:
    """Both volumes, mounted on n1; LabError if a file written there is not on n2's disk."""
    for node in NODES:
        there = lab.machine(node)
        there.run_logged(["sh", "-c", _PREPARE], lab.state.log(node))
        there.start_service("glusterd", ["glusterd", "--no-daemon"], lab.state.log(f"{node}-gluster"))
    for node in NODES:
        _wait_pool(lab, node, 1)
    _gluster(lab, "peer", "probe", "n2")
    _wait_pool(lab, "n1", 2)
    for mount, volume in VOLUMES.items():
        bricks = [f"{node}:/srv/bricks/{volume}" for node in NODES]
        _gluster(lab, "volume", "create", volume, "replica", "2", *bricks, "force")
        if volume == "sync":
            _gluster(lab, "volume", "set", volume, "performance.write-behind", "off")
        _gluster(lab, "volume", "start", volume)
        lab.exec("n1", "mkdir", "-p", mount)
        lab.exec("n1", "mount", "-t", "glusterfs", f"n1:/{volume}", mount)
        _check_replicated(lab, mount, volume)


def _check_replicated(lab: MirrorLab, mount: str, volume: str) -> None:
    lab.exec("n1", "sh", "-c", f"echo here > {mount}/probe && sync {mount}/probe")
    if lab.exec("n2", "cat", f"/srv/bricks/{volume}/probe", check=False).stdout != "here\n":
        raise LabError(f"GlusterFS does not replicate the volume {volume}")


def _wait_pool(lab: MirrorLab, node: str, size: int) -> None:
    def connected() -> bool:
        answer = lab.exec(node, "gluster", "--timeout=5", "pool", "list", check=False).stdout
        return answer.count("Connected") == size

    until(connected, f"glusterd on {node} to have {size} in its pool", timeout_s=30, interval_s=0.1)


def _gluster(lab: MirrorLab, *words: str) -> None:
    done = lab.exec("n1", "gluster", "--mode=script", *words, check=False)
    if done.returncode:
        raise LabError(f"gluster {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
