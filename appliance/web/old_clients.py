"""Refuse clients of Socket.IO 1 and 2 (Engine.IO 3) with an explanation in their own protocol.

They would report a plain HTTP error only as "xhr poll error" or "websocket error". Engine.IO 3 encodes the packets of a
poll as `LENGTH:PACKET`; Socket.IO 2 reports its packet type 4 to the client as the event `error`
(github.com/socketio/engine.io-protocol/tree/v3, github.com/socketio/socket.io-protocol/tree/v4).
"""

from __future__ import annotations

import json
import logging

from aiohttp import web

from appliance.web.clients import peer_of

log = logging.getLogger(__name__)

MESSAGE = (
    "unsupported protocol version: this device requires Socket.IO 5 (Engine.IO 4). Update the client to "
    "socket.io-client 3 or 4, python-socketio 5, or another client that uses EIO=4"
)
_CLOSE_TIMEOUT_S = 1.0


def is_old(request: web.BaseRequest) -> bool:
    """Whether a Socket.IO request comes from a client of Socket.IO 1 or 2."""
    return request.query.get("EIO") in ("1", "2", "3")


async def refuse(request: web.BaseRequest) -> web.StreamResponse:
    """Answer with the reason, over the transport of the request."""
    log.warning(
        "refused connection: address=%s code=protocol_too_old: the client uses Socket.IO 2; update it",
        peer_of(request),
        extra={"kind": "refused", "code": "protocol_too_old"},
    )  # fmt: skip
    opened = {"sid": "refused", "upgrades": [], "pingInterval": 25_000, "pingTimeout": 60_000}
    packets = [f"0{json.dumps(opened)}", f"44{json.dumps(MESSAGE)}"]
    if request.query.get("sid") or request.method != "GET":
        return web.json_response({"code": 5, "message": MESSAGE}, status=400)
    if request.query.get("transport") != "websocket":
        return web.Response(text="".join(f"{len(packet)}:{packet}" for packet in packets), charset="utf-8")
    socket = web.WebSocketResponse(timeout=_CLOSE_TIMEOUT_S, max_msg_size=1000, compress=False)
    await socket.prepare(request)
    for packet in packets:
        await socket.send_str(packet)
    await socket.close()
    return socket
