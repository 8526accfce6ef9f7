"""The first middleware: the door learns of every request here, and bodies that are compressed go no further."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from appliance.web.ingress.handler import GuardedHandler
from appliance.web.respond import encode

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tell the door when a request begins and ends; close the connection where its body was not read."""
    connection = request.protocol
    if not isinstance(connection, GuardedHandler):
        return await handler(request)
    connection.begin(request)
    response: web.StreamResponse | web.HTTPException
    try:
        response = _refused(request) or await handler(request)
    except web.HTTPException as error:
        if not request.content.is_eof():
            error.force_close()
        raise
    except ConnectionError as error:  # the client has gone, or was turned away
        error.__traceback__ = None  # its frames hold what had arrived, and the request keeps the error
        return web.Response(status=408)
    finally:
        connection.end()
    if not request.content.is_eof() and not response.prepared:
        response.force_close()
    return response


def _refused(request: web.Request) -> web.Response | None:
    """A few kilobytes of gzip inflate to gigabytes; pictures are compressed already."""
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return None
    return web.Response(
        status=415,
        content_type="application/json",
        headers={"Accept-Encoding": "identity"},
        body=encode(
            {
                "success": False,
                "error": "bodies with Content-Encoding are not accepted; send the picture as it is",
                "code": "encoding_unsupported",
            }
        ),
    )
