"""The web application: its routes, middlewares and security headers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from appliance import camera_names
from appliance.values import Frame
from appliance.web import identify, origins, plain_http
from appliance.web.authenticator import Authenticator
from appliance.web.connections import Connections
from appliance.web.ingress.guard import guard
from appliance.web.ingress.handler import SERVER
from appliance.web.plain_http import Door
from appliance.web.publisher import Publisher
from appliance.web.respond import Respond

_NO_PICTURE = (
    "no picture: the camera is not connected, or no client is subscribed to it. "
    "To always keep the latest picture, set server.keep_pictures = true"
)
_NO_EVENT_PICTURE = (
    "no picture of this event: it is older than the pictures that fit in memory, or no pictures are kept. "
    "To keep them, set server.keep_pictures = true"
)
_CSP = "default-src 'self'; img-src 'self' blob: data:; connect-src 'self' ws: wss:; frame-ancestors 'self'"


def make_app(
    *,
    socket_server: Any,
    publisher: Publisher,
    event_picture: Callable[[str], Frame | None],
    routes: Iterable[web.RouteDef],
    respond: Respond,
    authenticator: Authenticator,
    websocket_deflate: bool,
    connections: Connections,
    door: Door,
) -> web.Application:
    """Build the application."""

    def latest(camera: str) -> Frame | None:
        return publisher.latest(camera_names.looked_up(camera) or camera)

    access = authenticator.access
    middlewares = [
        guard,
        origins.middleware(access, respond),
        plain_http.middleware(access, door, respond),
        identify.middleware(authenticator, respond),
    ]
    if not websocket_deflate:
        middlewares.append(_without_deflate)
    app = web.Application(middlewares=[*middlewares, connections.watch])
    socket_server.attach(app)
    app.on_response_prepare.append(_harden)
    app.add_routes(
        [
            *routes,
            _picture_route("/cameras/{key}/latest.jpg", latest, _NO_PICTURE, respond),
            _picture_route("/events/{key}/picture.jpg", event_picture, _NO_EVENT_PICTURE, respond),
        ]
    )
    return app


def _picture_route(
    path: str, picture_of: Callable[[str], Frame | None], missing: str, respond: Respond
) -> web.RouteDef:
    async def latest(request: web.Request) -> web.Response:
        frame = picture_of(request.match_info["key"])
        if frame is None:
            return respond({"error": missing, "code": "no_picture"}, 404)
        headers = {"X-Frame-Id": json.dumps(frame.frame_id), "Cache-Control": "no-store"}
        if identify.may_be_shown_elsewhere(request):  # a dashboard that was given a token may show it
            headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        return web.Response(body=frame.picture.data, content_type=f"image/{frame.picture.format}", headers=headers)

    return web.get(path, latest)


@web.middleware
async def _without_deflate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse permessage-deflate: with it, browsers and Node compress every JPEG, and the device has to inflate it."""
    if "Sec-WebSocket-Extensions" in request.headers:
        headers = request.headers.copy()
        del headers["Sec-WebSocket-Extensions"]
        try:
            request = request.clone(headers=headers)
        except UnicodeEncodeError:
            raise web.HTTPBadRequest(text="request headers must be valid UTF-8\n") from None
    return await handler(request)


async def _harden(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = SERVER
    response.headers.setdefault("Content-Security-Policy", _CSP)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    response.headers.setdefault("X-Frame-Options", "SAMEORIGIN")
    # Pages of other origins cannot show what a browser on this device may see without a token.
    response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
