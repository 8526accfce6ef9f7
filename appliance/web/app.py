"""The web application: every route in one list, and what holds for all of them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiohttp import web

from appliance.web import origins
from appliance.web.access import Access, same
from appliance.web.connections import Connections
from appliance.web.health import PAGE
from appliance.web.ingress.guard import guard
from appliance.web.publisher import Publisher
from appliance.web.respond import Respond

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_NO_PICTURE = (
    "no picture of this camera: it is not connected, or nobody watches it. "
    "Set server.keep_pictures = true to keep the newest one all the time"
)
_CSP = "default-src 'self'; img-src 'self' blob: data:; connect-src 'self' ws: wss:; frame-ancestors 'self'"


def make_app(
    *,
    socket_server: Any,
    publisher: Publisher,
    routes: Iterable[web.RouteDef],
    respond: Respond,
    access: Access,
    websocket_deflate: bool,
    connections: Connections,
) -> web.Application:
    """The application, ready to be run on a site."""
    middlewares = [guard, origins.middleware(access, respond)]
    if not websocket_deflate:
        middlewares.append(_plain_sockets)
    app = web.Application(middlewares=[*middlewares, connections.watch])
    socket_server.attach(app)
    app.on_response_prepare.append(_harden)
    app.add_routes([*routes, *_page_routes(), _picture_route(publisher, respond, access)])
    return app


def _page_routes() -> list[web.RouteDef]:
    async def index(request: web.Request) -> web.FileResponse:
        return web.FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache"})

    async def part(request: web.Request) -> web.FileResponse:
        known = {path.name: path for path in PAGE.iterdir() if path.is_file()}
        path = known.get(request.match_info["name"])
        if path is None:
            raise web.HTTPNotFound(text="no such file\n")
        return web.FileResponse(path, headers={"Cache-Control": "no-cache"})

    return [web.get("/", index), web.get("/page/{name}", part)]


def _picture_route(publisher: Publisher, respond: Respond, access: Access) -> web.RouteDef:
    async def latest(request: web.Request) -> web.Response:
        expected = access.rules.viewer_token
        if expected and not same(request.query.get("token", ""), expected):
            return respond({"error": "the page needs the viewer token", "code": "unauthorized"}, 401)
        frame = publisher.latest(request.match_info["camera"])
        if frame is None:
            return respond({"error": _NO_PICTURE, "code": "no_picture"}, 404)
        return web.Response(
            body=frame.picture.data,
            content_type=f"image/{frame.picture.format}",
            headers={"X-Frame-Id": json.dumps(frame.frame_id), "Cache-Control": "no-store"},
        )

    return web.get("/cameras/{camera}/latest.jpg", latest)


@web.middleware
async def _plain_sockets(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Take no permessage-deflate: browsers and Node would deflate every JPEG with it, and the box inflate it."""
    if "Sec-WebSocket-Extensions" in request.headers:
        headers = request.headers.copy()
        del headers["Sec-WebSocket-Extensions"]
        try:
            request = request.clone(headers=headers)
        except UnicodeEncodeError:
            raise web.HTTPBadRequest(text="the headers must be UTF-8\n") from None
    return await handler(request)


async def _harden(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.setdefault("Content-Security-Policy", _CSP)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
