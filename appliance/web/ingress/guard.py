"""The first middleware: reports requests to their connection, delays a busy address, and refuses compressed bodies."""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.typedefs import Handler

from appliance.web.ingress.handler import GuardedHandler
from appliance.web.ingress.limits import REQUEST_WORK
from appliance.web.ingress.steps import timed
from appliance.web.respond import encode


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Report the start and end of a request to its connection; close the connection if the body was not read."""
    connection = request.protocol
    if not isinstance(connection, GuardedHandler):
        return await handler(request)
    connection.begin(request)
    response: web.StreamResponse | web.HTTPException
    try:
        # Also for 0 s: from Python 3.12 on, aiohttp answers all requests that arrived together in one step of the loop.
        await asyncio.sleep(connection.work(REQUEST_WORK))
        refused = _refused(request)
        response = await timed(handler(request), connection.took) if refused is None else refused
    except web.HTTPException as error:
        if not request.content.is_eof():
            error.force_close()
        raise
    except ConnectionError as error:  # the client has disconnected, or its connection was closed
        error.__traceback__ = None  # its frames hold the received data, and the request keeps the error
        return web.Response(status=408)
    finally:
        connection.end()
    if not request.content.is_eof() and not response.prepared:
        response.force_close()
    return response


def _refused(request: web.Request) -> web.Response | None:
    """A few kilobytes of gzip inflate to gigabytes, and pictures are compressed already."""
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
                "error": "Content-Encoding is not supported; send the picture without it",
                "code": "encoding_unsupported",
            }
        ),
    )
