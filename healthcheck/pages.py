"""The health page: which path is about what, and how a health is said in HTTP.

200 and 503 (RFC 9110, 15.3.1 and 15.6.4) are what every load balancer understands. `x-envoy-degraded` is Envoy's header
for "rather send clients elsewhere"; the path below /var/modules is that of the product that farmd replaces.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from healthcheck import detail
from healthcheck.farms import Farms
from healthcheck.health import MIRROR, Health, Standing
from healthcheck.settings import Settings
from healthcheck.watch import FARM, Watch

DEGRADED = {"x-envoy-degraded": "true"}


class Pages:
    """Answers for all farms on this node. What it says is made once and sent to everybody."""

    def __init__(self, farms: Farms, settings: Settings) -> None:
        self._farms = farms
        self._detail = settings.detail
        self._statuses = dict.fromkeys(Standing, 503) | {
            Standing.SERVES: 200,
            Standing.DRAINS: settings.drain_status,
        }
        self._live = PlainTextResponse("live\n")
        self._ready = PlainTextResponse("ready\n")
        self._degraded = PlainTextResponse("ready\n", headers=DEGRADED)
        self._not_ready = {status: PlainTextResponse("not ready\n", status) for status in (404, 503)}

    async def live(self, _: Request) -> Response:
        """This process answers; it says nothing of any farm."""
        return self._live

    async def ready(self, request: Request) -> Response:
        """Whether every farm on this node serves, and every mirror that the other node does not serve."""
        return self._answer(request, self._farms.health(), list(self._farms))

    async def farm(self, request: Request) -> Response:
        """Whether one farm serves here."""
        return self._one(request, FARM)

    async def mirror(self, request: Request) -> Response:
        """Whether one mirror serves here."""
        return self._one(request, MIRROR)

    async def module(self, request: Request) -> Response:
        """Whether one farm or mirror serves here."""
        return self._one(request, FARM, MIRROR)

    def _one(self, request: Request, *kinds: str) -> Response:
        watch = self._farms.get(request.path_params["name"])
        if watch is None or (watch.heard and watch.kind not in kinds):
            raise HTTPException(404)
        return self._answer(request, watch.health(), [watch])

    def _answer(self, request: Request, health: Health, watches: list[Watch]) -> Response:
        status = self._statuses[health.standing]
        degraded = health.degraded and status == 200
        if self._detail:
            headers = DEGRADED if degraded else {}
            if "application/health+json" in request.headers.get("accept", ""):
                return detail.Document(detail.document(health, watches), status, headers)
            if "verbose" in request.query_params:
                return PlainTextResponse(detail.text(health, watches), status, headers)
        if status != 200:
            return self._not_ready[status]
        return self._degraded if degraded else self._ready


def application(farms: Farms, settings: Settings) -> Starlette:
    """The pages as an ASGI application; GET and HEAD only, and nothing is redirected."""
    pages = Pages(farms, settings)
    routes = [
        Route("/ready", pages.ready),
        Route("/live", pages.live),
        Route("/farm/{name}", pages.farm),
        Route("/mirror/{name}", pages.mirror),
        Route("/var/modules/{name}/ready.txt", pages.module),
    ]
    found = Starlette(routes=routes)
    found.router.redirect_slashes = False
    return found
