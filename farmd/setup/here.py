"""What this machine suggests for a first configuration."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from pyroute2 import IPRoute

from farmd import links
from farmd.setup.interview import Proposals

WEB_SERVERS = tuple(f"{name}.service" for name in ("nginx", "apache2", "httpd", "lighttpd", "caddy", "haproxy"))
"""The units that a farm is usually about."""

_UNIT_FOLDERS = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")


def proposals() -> Proposals:
    """Looked up anew at each call."""
    interface, router = _default_route()
    unit = _web_server()
    return Proposals(
        interface=interface,
        router=router,
        node=_node(interface),
        service=f"unit={unit}" if unit else "",
        check="http=http://127.0.0.1/" if unit else "",
    )


def _default_route() -> tuple[str, str]:
    """The interface of the default route and its gateway, IPv4 before IPv6; empty what there is not."""
    with IPRoute() as ip:
        for family in (socket.AF_INET, socket.AF_INET6):
            for route in ip.get_default_routes(family=family):
                index = route.get_attr("RTA_OIF")
                if index is not None:
                    return socket.if_indextoname(index), route.get_attr("RTA_GATEWAY") or ""
    return "", ""


def _node(interface: str) -> str:
    """This machine's host name and its first address on the interface that a router would forward, IPv4 before IPv6."""
    own = [address for address, name in links.own_addresses().items() if name == interface]
    usable = sorted((one for one in own if not one.is_link_local), key=lambda address: address.version)
    return f"{os.uname().nodename.partition('.')[0]}={usable[0]}" if usable else ""


def _web_server() -> str:
    for unit in WEB_SERVERS:
        if any(Path(folder, unit).exists() for folder in _UNIT_FOLDERS):
            return unit
    return ""
