"""JSON responses, compressed above a minimum size."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from appliance.web.payloads import AnyPayload


class Respond:
    """Builds JSON responses from payloads, encoded or not."""

    def __init__(self, *, compression: bool, compression_min_bytes: int) -> None:
        self._compression, self._min_bytes = compression, compression_min_bytes

    def __call__(self, payload: AnyPayload, status: int = 200) -> web.Response:
        return self.encoded(encode(payload), status)

    def encoded(self, body: bytes, status: int = 200) -> web.Response:
        response = web.Response(body=body, status=status, content_type="application/json")
        if self._compression and len(body) >= self._min_bytes:
            response.enable_compression()
        return response


def encode(payload: Any) -> bytes:
    return json.dumps(payload, separators=(",", ":")).encode() + b"\n"
