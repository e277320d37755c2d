"""PostgreSQL for the lab's mirror: a cluster on one node from before mirrord first starts, as a user would have it."""

from __future__ import annotations

from lab.mirror import MirrorLab
from lab.mirror_bank import TABLES

DATA = "/var/lib/postgresql/15/main"
PROGRAMS = "/usr/lib/postgresql/15/bin"
ADDRESS = "10.0.0.200"
LOG = "/run/postgresql/log"
SETTINGS = "listen_addresses = '*'\\nunix_socket_directories = '/run/postgresql'\\nlog_line_prefix = '%%n '\\n"
CLIENTS_ALLOWED = "host all all 10.0.0.0/16 trust\\n"

_MAKE = f"""
set -e
postgres() {{ runuser -u postgres -- "$@"; }}
chown postgres: {DATA}
chmod 700 {DATA}
cd /
postgres {PROGRAMS}/initdb -D {DATA} -A trust --data-checksums --no-sync > /dev/null
printf "{SETTINGS}" >> {DATA}/postgresql.conf
printf "{CLIENTS_ALLOWED}" >> {DATA}/pg_hba.conf
postgres {PROGRAMS}/pg_ctl start -w -s -D {DATA} -l {LOG}
postgres {PROGRAMS}/pgbench -h /run/postgresql -i -q -s "$1" postgres
postgres psql -h /run/postgresql -q -v ON_ERROR_STOP=1 postgres
postgres {PROGRAMS}/pg_ctl stop -w -s -m fast -D {DATA}
"""


def make(lab: MirrorLab, node: str, scale: int = 2) -> None:
    """A cluster with pgbench's tables and the bank's on one node, stopped; the folder is the other node's and empty."""
    lab.exec(node, "sh", "-c", _MAKE, "sh", str(scale), input=TABLES, timeout=300)
    for other in lab.topology.node_names:
        lab.exec(other, "sh", "-c", f"chown postgres: {DATA}; chmod 700 {DATA}")


def shutdown_s(lab: MirrorLab, node: str, after_s: float) -> float:
    """How long the shutdown that began first after some time (Unix time) took on a node, by its log; 0 for none."""
    lines = lab.exec(node, "cat", LOG, check=False).stdout.splitlines()
    said = [(float(time), text) for time, _, text in (line.partition(" ") for line in lines) if _is_time(time)]
    asked = next((time for time, text in said if "shutdown request" in text and time >= after_s), None)
    down = next((time for time, text in said if "system is shut down" in text and time >= after_s), None)
    return down - asked if asked is not None and down is not None else 0.0


def checksums_fault(lab: MirrorLab, node: str) -> str:
    """What pg_checksums finds wrong with the files of a node, while PostgreSQL is stopped; empty if nothing."""
    command = ["runuser", "-u", "postgres", "--", f"{PROGRAMS}/pg_checksums", "--check", "-D", DATA]
    done = lab.exec(node, *command, check=False, timeout=300)
    return done.stdout + done.stderr if done.returncode else ""


def _is_time(word: str) -> bool:
    return word.replace(".", "", 1).isdigit()
