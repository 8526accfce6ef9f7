"""What the service reports about itself over the control socket: read-only, complete, without secrets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec
from aiohttp import web

StateReport = Callable[[], Awaitable[bytes]]
"""Returns the content of a file."""


def routes(reports: Mapping[str, StateReport]) -> list[web.RouteDef]:
    """`GET /state` lists the names of the reports, `GET /state/NAME` returns one."""

    async def names(request: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(sorted(reports)), content_type="application/json")

    async def read(request: web.Request) -> web.Response:
        report = reports.get(request.match_info["name"])
        if report is None:
            raise web.HTTPNotFound
        return web.Response(body=await report())

    return [web.get("/state", names), web.get("/state/{name}", read)]
