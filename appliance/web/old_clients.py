"""Clients of Socket.IO 1 and 2, which speak Engine.IO 3: they get one sentence in their own protocol, and are let go.

A plain HTTP error would reach them as "xhr poll error" or "websocket error", which says nothing. Engine.IO 3 packs the
packets of a poll as `LENGTH:PACKET`; Socket.IO 2 reports its packet 4 to the client as the event `error`
(github.com/socketio/engine.io-protocol/tree/v3, github.com/socketio/socket.io-protocol/tree/v4).
"""

from __future__ import annotations

import json
import logging

from aiohttp import web

log = logging.getLogger(__name__)

SENTENCE = (
    "This device needs Socket.IO 5 (Engine.IO 4). The client speaks Socket.IO 2: update it to socket.io-client 3 or 4, "
    "python-socketio 5, or another client with EIO=4"
)
_GOODBYE_S = 1.0


def is_old(request: web.BaseRequest) -> bool:
    """Whether a Socket.IO request comes from such a client."""
    return request.query.get("EIO") in ("1", "2", "3")


async def refuse(request: web.BaseRequest) -> web.StreamResponse:
    """Say why, over whichever transport it came."""
    log.warning(
        "refused connection: address=%s code=protocol_too_old: it speaks Socket.IO 2; update it", request.remote,
        extra={"kind": "refused", "code": "protocol_too_old"},
    )  # fmt: skip
    opened = {"sid": "refused", "upgrades": [], "pingInterval": 25_000, "pingTimeout": 60_000}
    packets = [f"0{json.dumps(opened)}", f"44{json.dumps(SENTENCE)}"]
    if request.query.get("sid") or request.method != "GET":
        return web.json_response({"code": 5, "message": SENTENCE}, status=400)
    if request.query.get("transport") != "websocket":
        return web.Response(text="".join(f"{len(packet)}:{packet}" for packet in packets), charset="utf-8")
    socket = web.WebSocketResponse(timeout=_GOODBYE_S, max_msg_size=1000, compress=False)
    await socket.prepare(request)
    for packet in packets:
        await socket.send_str(packet)
    await socket.close()
    return socket
