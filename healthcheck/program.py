"""The command `farm-health`: the health page of all farms and mirrors on this node."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

import uvloop

from farmd.kit import log as logs
from farmd.kit.command import in_sentences
from farmd.kit.lock import run_folder
from healthcheck import metrics, pages, settings
from healthcheck.account import drop_root
from healthcheck.agent import Answering
from healthcheck.farms import Farms
from healthcheck.limits import Crowd
from healthcheck.serving import Http, listen, secured
from healthcheck.settings import Agent, Settings


@dataclass(frozen=True, slots=True)
class Prepared:
    """What only root may be able to get."""

    sockets: dict[str, list[socket.socket]]
    """By the key of their port."""
    context: ssl.SSLContext | None


def prepare(wanted: Settings) -> Prepared:
    """Listen, and read the TLS key. ConfigError with the key at fault."""
    context = secured(wanted.tls)
    return Prepared({key: listen(key, port, addresses) for key, port, addresses in settings.ports(wanted)}, context)


async def serve(wanted: Settings, prepared: Prepared) -> None:
    """Answer until SIGTERM or SIGINT."""
    asked_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_stop.set)
    farms = Farms(run_folder(), wanted.farms, mirrors=wanted.mirrors, buckets=bool(wanted.metrics.port))
    crowd = Crowd()
    health = Http(pages.application(farms, wanted), crowd)
    scraped = Http(metrics.application(farms, crowd), crowd)
    tasks = [asyncio.create_task(task) for task in (farms.run(), crowd.sweep(), _keep_dates(health, scraped))]
    await health.start(prepared.sockets["port"], prepared.context)
    await scraped.start(prepared.sockets.get("metrics.port", []))
    agents = [
        await _agent(sock, farms, its)
        for index, its in enumerate(wanted.agents)
        for sock in prepared.sockets[f"agent[{index}].port"]
    ]
    stopping = asyncio.create_task(asked_to_stop.wait())
    await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
    health.close()
    scraped.close()
    for agent in agents:
        agent.close()
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task  # a bug of ours ends the program


async def _agent(sock: socket.socket, farms: Farms, agent: Agent) -> asyncio.Server:
    return await asyncio.get_running_loop().create_server(lambda: Answering(farms, agent), sock=sock)


async def _keep_dates(*servers: Http) -> None:
    while True:
        await asyncio.sleep(1.0)
        for server in servers:
            server.date()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("farm-health", description="The health page of this node's farms and mirrors.")
    parser.add_argument("--config", type=Path, help=f"its TOML file (default: {settings.PATH}, if it is there)")
    parser.add_argument("--check-config", action="store_true", help="say whether the file is right, and do nothing")
    parser.add_argument("--log-level", choices=logs.LEVELS, default="info")
    return parser.parse_args()


def main() -> None:
    """The command `farm-health`."""
    arguments = _arguments()
    logs.start(arguments.log_level)
    with in_sentences("farm-health"):
        wanted = settings.load(arguments.config)
        if arguments.check_config:
            secured(wanted.tls)
            print("the settings are right")
            return
        prepared = prepare(wanted)
        drop_root()
    uvloop.run(serve(wanted, prepared))


if __name__ == "__main__":
    main()
