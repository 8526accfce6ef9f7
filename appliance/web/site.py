"""`GET /site`: the devices of the site, as each describes itself on the bus."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from appliance.web.payloads import AnyPayload
from appliance.web.respond import Respond


def routes(report: Callable[[], AnyPayload], respond: Respond) -> list[web.RouteDef]:
    async def show(request: web.Request) -> web.Response:
        return respond(report(), 200)

    return [web.get("/site", show)]
