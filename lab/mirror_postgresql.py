"""PostgreSQL for the lab's mirror: a cluster on one node from before mirrord first starts, as a user would have it."""

from __future__ import annotations

from lab.mirror import MirrorLab
from lab.mirror_bank import TABLES

DATA = "/var/lib/postgresql/15/main"
PROGRAMS = "/usr/lib/postgresql/15/bin"
ADDRESS = "10.0.0.200"
SETTINGS = "listen_addresses = '*'\\nunix_socket_directories = '/run/postgresql'\\n"
CLIENTS_ALLOWED = "host all all 10.0.0.0/16 trust\\n"

_MAKE = f"""
set -e
postgres() {{ runuser -u postgres -- "$@"; }}
chown postgres: {DATA}
chmod 700 {DATA}
cd /
postgres {PROGRAMS}/initdb -D {DATA} -A trust --no-sync > /dev/null
printf "{SETTINGS}" >> {DATA}/postgresql.conf
printf "{CLIENTS_ALLOWED}" >> {DATA}/pg_hba.conf
postgres {PROGRAMS}/pg_ctl start -w -s -D {DATA} -l /run/postgresql/log
postgres {PROGRAMS}/pgbench -h /run/postgresql -i -q -s "$1" postgres
postgres psql -h /run/postgresql -q -v ON_ERROR_STOP=1 postgres
postgres {PROGRAMS}/pg_ctl stop -w -s -m fast -D {DATA}
"""


def make(lab: MirrorLab, node: str, scale: int = 2) -> None:
    """A cluster with pgbench's tables and the bank's on one node, stopped; the folder is the other node's and empty."""
    lab.exec(node, "sh", "-c", _MAKE, "sh", str(scale), input=TABLES, timeout=300)
    for other in lab.topology.node_names:
        lab.exec(other, "sh", "-c", f"chown postgres: {DATA}; chmod 700 {DATA}")
