"""The routes of the page's actions, for callers that may operate the device.

Rules of this file:
- An action is a POST with a JSON body. A foreign page can send no such request: the browser asks first (CORS), and
  `origins` refuses.
- `GET /actions` tells anyone what they may do; without the permission, that is nothing.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Protocol

import msgspec
from aiohttp import web

from appliance.errors import ApplianceError
from appliance.identity.roles import Identity, May
from appliance.programs import ProgramFailed
from appliance.web.identify import identify, require
from appliance.web.respond import Respond

_MOST_BYTES = 10_000
_STATUS = {"option_invalid": 400, "refused": 400, "action_unknown": 404}


class PageActions(Protocol):
    """What the page can do. `log` (the tail) and `support_bundle` (a .tar.gz) are recorded like actions."""

    async def perform(self, name: str, body: bytes, who: Identity) -> Any: ...

    async def offer(self) -> dict[str, Any]: ...

    def log(self, who: Identity) -> str: ...

    def audit(self) -> list[dict[str, Any]]: ...

    async def support_bundle(self, who: Identity) -> bytes: ...


def routes(actions: PageActions, respond: Respond) -> list[web.RouteDef]:
    """`GET /actions`, `POST /actions/NAME`, and the log, the audit list and the support bundle."""

    async def offered(request: web.Request) -> web.Response:
        if May.OPERATE not in identify(request).may:
            return respond({"actions": []})
        return respond(await actions.offer())

    async def act(request: web.Request) -> web.Response:
        who = require(request, May.OPERATE)
        if request.content_type != "application/json":
            return respond({"error": "send the request as application/json", "code": "option_invalid"}, 415)
        if (request.content_length or 0) > _MOST_BYTES:
            return respond({"error": "the request is too large", "code": "option_invalid"}, 413)
        try:
            done = await actions.perform(request.match_info["name"], await request.read(), who)
        except ApplianceError as error:
            return respond({"error": str(error), "code": error.code}, _STATUS.get(error.code, 409))
        return respond(msgspec.to_builtins(done))

    async def log_tail(request: web.Request) -> web.Response:
        text = actions.log(require(request, May.OPERATE))
        return web.Response(text=text, headers=_as_file(request, "log"))

    async def audit(request: web.Request) -> web.Response:
        require(request, May.OPERATE)
        return respond({"entries": actions.audit()})

    async def support_bundle(request: web.Request) -> web.Response:
        try:
            content = await actions.support_bundle(require(request, May.OPERATE))
        except ProgramFailed as error:
            return respond({"error": f"the support bundle could not be made: {error}", "code": error.code}, 500)
        return web.Response(body=content, content_type="application/gzip", headers=_as_file(request, "tar.gz"))

    return [
        web.get("/actions", offered),
        web.get("/actions/log", log_tail),
        web.get("/actions/audit", audit),
        web.get("/actions/support_bundle", support_bundle),
        web.post("/actions/{name}", act),
    ]


def _as_file(request: web.Request, suffix: str) -> dict[str, str]:
    """Headers of a file to save, named after the device and the time."""
    host = re.sub(r"[^\w.-]", "_", request.host.partition(":")[0])
    name = f"{host}-{datetime.now():%Y-%m-%d-%H%M}.{suffix}"
    return {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
