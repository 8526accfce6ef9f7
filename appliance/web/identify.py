"""Who sent a request, and whether it may have what it asks for.

`policy.py` says what each route requires; a route that it does not list requires an operator. A handler calls
`identify(request)` for the caller's name, and `require(request, May.VIEW)` where the permission depends on the content.
"""

from __future__ import annotations

import math
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from appliance.identity.roles import PERMISSIONS, AccessDenied, Identity, May, check
from appliance.web import policy
from appliance.web.authenticator import Authenticator
from appliance.web.respond import Respond

_WHO: Any = web.RequestKey("who", Identity) if hasattr(web, "RequestKey") else "appliance.who"  # aiohttp < 3.14
_BY_QUERY: Any = web.RequestKey("by_query", bool) if hasattr(web, "RequestKey") else "appliance.by_query"
STATUS = {"unauthorized": 401, "forbidden": 403, "setup_needed": 403, "too_many_attempts": 429}
_RENEWING = ("/health", "/session")
"""What the page asks for again and again. No cache keeps these answers, or it would hand out their cookies."""
_SETUP = (
    "this device has no operator yet. On the device itself, run: "
    "sudo appliance token add NAME --role operator"
)  # fmt: skip


def identify(request: web.Request) -> Identity:
    """The caller, whose credentials have been checked."""
    who: Identity = request[_WHO]
    return who


def require(request: web.Request, permission: May) -> Identity:
    """The caller, if it has this permission. Raises AccessDenied, which becomes the response."""
    who = identify(request)
    check(who, permission)
    return who


def may_be_shown_elsewhere(request: web.Request) -> bool:
    """Whether the address itself has a token that permits viewing, so that a page of another origin may show it."""
    shown: bool = request.get(_BY_QUERY, False)
    return shown


def middleware(authenticator: Authenticator, respond: Respond) -> Any:
    """Identify each caller, and refuse what it may not do."""

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            who = request[_WHO] = authenticator.of_request(request)
            if (
                who.credential is None
                and request.path not in policy.SETUP_ROUTES
                and authenticator.needs_setup(request)
            ):
                raise AccessDenied(_SETUP, "setup_needed")
            permission = policy.required(request)
            if permission is May.METRICS and authenticator.access.rules.metrics == "anyone":
                permission = None
            if permission is May.VIEW and "token" in request.query:
                who = request[_WHO] = of_query(request, who)
            if permission is not None:
                check(who, permission)
            response = await handler(request)
            if request.path in _RENEWING:
                authenticator.renew_session(request, response, who)
            return response
        except AccessDenied as error:
            return refuse(error)

    def of_query(request: web.Request, who: Identity) -> Identity:
        """Who sent a request with a token in its address: the token's holder, unless `who` may view without it."""
        token = request.query["token"]
        if May.VIEW in who.may:
            holder = authenticator.of_optional_token(request, token)
        else:
            who = holder = authenticator.of_token(request, token)
        role = holder.role if holder is not None else None
        request[_BY_QUERY] = role is not None and May.VIEW in PERMISSIONS[role]
        return who

    def refuse(error: AccessDenied) -> web.Response:
        body = {"success": False, "error": str(error), "code": error.code, "duration": 0}
        response = respond(body, STATUS.get(error.code, 403))
        if response.status == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        if error.retry_after_s is not None:
            response.headers["Retry-After"] = str(math.ceil(error.retry_after_s))
        return response

    return authenticate
