"""A service that is a systemd unit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from farmd.supervision import systemd
from farmd.supervision.commands import Command
from farmd.supervision.deaths import DeathWatch
from farmd.supervision.failure import Failure
from farmd.supervision.schema import Service

ALIVE = frozenset({"active", "reloading"})
ENDED = frozenset({"inactive", "failed"})

_LOOKS_MAX = 20
_LOOK_AGAIN_S = 0.02


class UnitApplication:
    """systemd starts and stops it; the death of its main process is noticed at once."""

    late = "no answer of systemd"

    def __init__(self, service: Service, wake: Callable[[], None], *, outlives: bool) -> None:
        """outlives: it may live longer than who stops it, while the machine shuts down."""
        self._unit = service.unit
        self._outlives = outlives
        self._shows = Command([*systemd.SHOW, "--", self._unit])
        self._watch = DeathWatch(wake)

    async def look(self) -> str:
        found = await self._show()
        for _ in range(_LOOKS_MAX):
            main = int(found.get("MainPID", "0"))
            if main == 0 or self._watch.on(main):
                break
            await asyncio.sleep(_LOOK_AGAIN_S)  # it has just died, and systemd is about to find out
            found = await self._show()
        state = f"{found.get('ActiveState')} ({found.get('SubState')})"
        if found.get("ActiveState") not in ALIVE:
            raise Failure(f"{self._unit} is {state}")
        return state

    async def start(self) -> None:
        # A unit that failed too often is not started any more; how often is too often is ours to say.
        await self._ask("reset-failed")
        await self._must("start")

    async def stop(self) -> None:
        # A machine that shuts down stops its units in its own order, of which farmd is the first (farmd@.service): this
        # one after it, so who waited would wait for himself.
        if not await self._machine_stops():
            await self._must("stop")
        elif not self._outlives:
            await self._stop_with_the_machine()

    async def kill(self) -> None:
        await self._must("stop", "--no-block")  # so that systemd does not start it anew
        await self._ask("kill", "--signal=KILL")
        await self.stop()

    def forget(self) -> None:
        self._watch.off()

    async def _stop_with_the_machine(self) -> None:
        """Only a unit that systemd would start by itself comes after us; then it is ended without its ExecStop=."""
        jobs = await Command([*systemd.COMMAND, "list-jobs", "--no-legend", "--", self._unit]).run()
        match jobs.output.split()[-2:]:
            case ["stop", "running"]:
                pass
            case ["stop", "waiting"]:
                await self._ask("kill", "--kill-who=main")
            case _:
                await self._must("stop", "--no-block")
        activity = Command([*systemd.COMMAND, "is-active", "--", self._unit])
        while (await activity.run()).output.strip() not in ENDED:
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def _machine_stops(self) -> bool:
        outcome = await Command([*systemd.COMMAND, "is-system-running"]).run()
        return outcome.output.strip() == "stopping"

    async def _show(self) -> dict[str, str]:
        outcome = await self._shows.run()
        if outcome.code:
            raise Failure(f"systemctl: {outcome.text}")
        return systemd.properties(outcome.output)

    async def _must(self, verb: str, *options: str) -> None:
        reason = await self._ask(verb, *options)
        if reason:
            raise Failure(reason)

    async def _ask(self, verb: str, *options: str) -> str:
        """Why it did not work; empty if it did."""
        outcome = await Command([*systemd.COMMAND, verb, *options, "--", self._unit]).run()
        return outcome.text if outcome.code else ""
