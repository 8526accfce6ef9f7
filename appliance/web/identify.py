"""Who sent a request, and whether it may have what it asks for.

A handler calls `who = require(request, May.OPERATE)`, or `identify(request)` if anyone may call it.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from appliance.identity.roles import AccessDenied, Identity, May, Role, check, of_role
from appliance.web.access import Access
from appliance.web.clients import client_of
from appliance.web.origins import may_use
from appliance.web.respond import Respond

_WHO: Any = web.RequestKey("who", Identity) if hasattr(web, "RequestKey") else "appliance.who"  # aiohttp < 3.14
_STATUS = {"unauthorized": 401, "forbidden": 403}


def identify(request: web.Request) -> Identity:
    """The caller, whose credentials have been checked."""
    who: Identity = request[_WHO]
    return who


def require(request: web.Request, permission: May) -> Identity:
    """The caller, if it has this permission. Raises AccessDenied, which becomes the response."""
    who = identify(request)
    check(who, permission)
    return who


def middleware(access: Access, respond: Respond) -> Any:
    """Identify each caller, and answer requests that are denied."""

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            request[_WHO] = caller(request, access)
            return await handler(request)
        except AccessDenied as error:
            return refuse(error)

    def refuse(error: AccessDenied) -> web.Response:
        status = _STATUS.get(error.code, 403)
        return respond({"success": False, "error": str(error), "code": error.code, "duration": 0}, status)

    return authenticate


def caller(request: web.BaseRequest, access: Access) -> Identity:
    """A program on this device is an operator; anyone else may do all but operate it."""
    client = client_of(request, access.rules.proxies)
    if client.local and _own_page(request):
        return of_role("loopback", Role.OPERATOR, client.address)
    return Identity("anyone", None, client.address, frozenset(May) - {May.OPERATE})


def _own_page(request: web.BaseRequest) -> bool:
    """Whether the request comes from no web page, or from one that this service has served."""
    origin = request.headers.get("Origin", "")
    return not origin or may_use(origin, (request.headers.get("Host", ""),), ())
