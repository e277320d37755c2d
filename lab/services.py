"""What a node runs, nginx and farmd: their command lines and configuration files."""

import secrets

from lab.machine import CHECKOUT
from lab.topology import VIPS, Topology

CONFIG = "/run/farmd-lab/web.toml"
KEY = "/run/farmd-lab/web.key"
NGINX_CONFIG = "/run/farmd-lab/nginx.conf"
BIG = "/run/farmd-lab/www/big"
BIG_BYTES = 50_000_000
SLOW_BYTES_PER_S = 200_000


def farmd(node: str) -> list[str]:
    """The command line of a node's farmd."""
    return [f"{CHECKOUT}/.venv/bin/farmd", "--config", CONFIG, "--node", node]


def farmctl(*arguments: str) -> list[str]:
    """The command line of farmctl, run on the node that it asks."""
    return [f"{CHECKOUT}/.venv/bin/farmctl", *arguments]


def nginx() -> list[str]:
    """The command line of nginx. It goes to the background by itself, after its sockets listen."""
    return ["nginx", "-e", "stderr", "-c", NGINX_CONFIG]


def key() -> str:
    """A new secret for a farm."""
    return secrets.token_hex(32) + "\n"


def farm_config(topology: Topology) -> str:
    """farmd's configuration, the same on every node; timing is left at the defaults."""
    vips = ", ".join(f'"{vip}"' for vip in VIPS)
    text = f"""[farm]
name = "web"
vips = [{vips}]
interface = "eth0"
keys = ["@{KEY}"]
"""
    for number, name in enumerate(topology.node_names, start=1):
        addresses = ", ".join(f'"{address}"' for address in topology.node_addresses(name))
        text += f"""
[[node]]
id = {number}
name = "{name}"
addresses = [{addresses}]
"""
    return (
        text
        + """
[[rule]]
ports = [80]
protocol = "tcp"
affinity = "client"
"""
    )


def nginx_config(node: str) -> str:
    """A web server that says on which node it runs: / at once, /big quickly, /slow slowly."""
    return f"""worker_processes 1;
pid /run/farmd-lab/nginx.pid;
error_log /run/farmd-lab/nginx.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_timeout 75s;
    reset_timedout_connection off;
    sendfile on;
    default_type application/octet-stream;
    client_body_temp_path /run/farmd-lab/body;
    proxy_temp_path /run/farmd-lab/proxy;
    fastcgi_temp_path /run/farmd-lab/fastcgi;
    scgi_temp_path /run/farmd-lab/scgi;
    uwsgi_temp_path /run/farmd-lab/uwsgi;
    server {{
        listen 80 backlog=4096;
        listen [::]:80 backlog=4096;
        add_header X-Node {node};
        location = / {{ default_type text/plain; return 200 "{node}\\n"; }}
        location = /big {{ alias {BIG}; }}
        location = /slow {{ alias {BIG}; limit_rate {SLOW_BYTES_PER_S}; }}
    }}
}}
"""
