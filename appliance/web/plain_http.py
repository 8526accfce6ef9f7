"""Plain HTTP on the port that also serves HTTPS.

Rules of this file:
- Programs on this device may use it: no wire carries what they send. That includes a proxy, unless it is trusted and
  says that its own client used HTTP.
- What only reads, such as a browser, is sent to HTTPS. Anything else is refused: a redirect would come after a picture
  has already been sent in the clear.
- `/health/live` answers everybody: it says nothing but that the device is up. So does security.txt.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from appliance.web.access import Access
from appliance.web.clients import Networks, client_of, is_local, is_trusted
from appliance.web.respond import Respond

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_OPEN = ("/health/live", "/.well-known/security.txt")
_NO_REDIRECT = "/socket.io/"
"""Socket.IO clients do not follow a redirect, and report a refusal."""


@dataclass(slots=True)
class Door:
    """What the middlewares need to know of the way in; a reload changes it."""

    encrypts: Callable[[], bool] = lambda: False
    """Whether the port serves HTTPS now."""
    allow_plain: bool = True


def _is_private(request: web.Request, proxies: Networks) -> bool:
    peer = request.remote or ""
    if is_trusted(peer, proxies) and "X-Forwarded-Proto" in request.headers:
        return client_of(request, proxies).encrypted
    return is_local(peer)


def middleware(access: Access, door: Door, respond: Respond) -> Any:
    """Redirect or refuse plain HTTP from other machines, unless the settings allow it."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.secure or door.allow_plain or not door.encrypts() or request.path in _OPEN:
            return await handler(request)
        if _is_private(request, access.rules.proxies):
            return await handler(request)
        url = f"https://{request.host}{request.raw_path}"
        if request.method in ("GET", "HEAD") and not request.path.startswith(_NO_REDIRECT):
            return web.Response(status=308, headers={"Location": url, "Cache-Control": "no-store"})
        response = respond(
            {
                "success": False,
                "error": f"this device accepts only HTTPS: use https://{request.host}. "
                "To accept HTTP too, set tls.plain_http = 'allow' on the device",
                "code": "tls_required",
                "duration": 0,
            },
            403,
        )
        response.force_close()
        return response

    return check
