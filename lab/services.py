"""What a node runs, nginx and farmd: their command lines and configuration files."""

import secrets

from lab.machine import CHECKOUT
from lab.topology import Topology

FARM = "web"
CONFIG = "/run/farmd-lab/web.toml"
KEY = "/run/farmd-lab/web.key"
HEALTH_CONFIG = "/run/farmd-lab/health.toml"
NGINX_CONFIG = "/run/farmd-lab/nginx.conf"
HEALTH_PORT, AGENT_PORT, METRICS_PORT = 5480, 5481, 5482
HEALTH_SETTINGS = f"""port = {HEALTH_PORT}
drain_status = 404
agent = [{{ port = {AGENT_PORT} }}]
metrics = {{ port = {METRICS_PORT} }}
"""
BIG = "/run/farmd-lab/www/big"
BROKEN = "/run/farmd-lab/broken"
"""Where this file exists, / answers with an internal error."""
BIG_BYTES = 50_000_000
SLOW_BYTES_PER_S = 200_000


def farmd(node: str) -> list[str]:
    """The command line of a node's farmd."""
    return [f"{CHECKOUT}/.venv/bin/farmd", "--config", CONFIG, "--node", node]


def farm_health() -> list[str]:
    """The command line of a node's health page. It becomes the user farmd, who may not be able to read the checkout."""
    return [f"{CHECKOUT}/.venv/bin/farm-health", "--config", HEALTH_CONFIG]


def farmctl(*arguments: str) -> list[str]:
    """The command line of farmctl, run on the node that it asks."""
    return [f"{CHECKOUT}/.venv/bin/farmctl", *arguments]


def curl(url: str) -> list[str]:
    """The command line that asks for a page, and fails unless the answer is a success."""
    return ["curl", "--silent", "--show-error", "--fail", "--max-time", "2", url]


def nginx() -> list[str]:
    """The command line of nginx. It goes to the background by itself, after its sockets listen."""
    return ["nginx", "-e", "stderr", "-c", NGINX_CONFIG]


def key() -> str:
    """A new secret for a farm."""
    return secrets.token_hex(32) + "\n"


def farm_config(topology: Topology, farm: str = "", affinity: str = "client") -> str:
    """farmd's configuration, the same on every node; timing is left at the defaults. `farm` are more lines for [farm],
    `affinity` is port 80's."""
    vips = ", ".join(f'"{vip}"' for vip in topology.vips)
    text = f"""[farm]
name = "{FARM}"
vips = [{vips}]
interface = "eth0"
keys = ["@{KEY}"]
{farm}
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
        + f"""
[[rule]]
ports = [80]
protocol = "tcp"
affinity = "{affinity}"
"""
    )


NGINX_SERVICE = f"""
[[service]]
name = "nginx"
start = "nginx -e stderr -c {NGINX_CONFIG}"
stop = "nginx -e stderr -c {NGINX_CONFIG} -s quit"
start_timeout_s = 2.0
stop_timeout_s = 5.0
"""
"""nginx as a service of farmd's."""

PAGE_CHECK = """
[[check]]
name = "page"
http = "http://127.0.0.1/"
interval_s = 0.2
timeout_s = 0.5
fall = 2
on_failure = "restart"
"""
"""Whether it answers."""


def supervised(config: str) -> bool:
    """Whether this configuration of farmd makes it start nginx by itself."""
    return "[[service]]" in config


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
        location = / {{
            if (-f {BROKEN}) {{ return 500; }}
            default_type text/plain;
            return 200 "{node}\\n";
        }}
        location = /big {{ alias {BIG}; }}
        location = /slow {{ alias {BIG}; limit_rate {SLOW_BYTES_PER_S}; }}
    }}
}}
"""
