"""The REST interface of KServe v2 (Open Inference Protocol), for inference clients such as `tritonclient`.

It serves the active model, with pictures as input and detections as output: boxes in pixels of the picture as sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from aiohttp import web

from appliance import __version__
from appliance.errors import BadFrame, ModelError
from appliance.values import ModelInfo
from appliance.web import kserve_tensors
from appliance.web.foreign_payload_types import KserveModelPayload, KserveReadyPayload, KserveServerPayload
from appliance.web.form import OVERHEAD_BYTES
from appliance.web.http_frames import HttpFrames, NoResult
from appliance.web.identify import identify
from appliance.web.payload_types import (
    LivePayload,
    ReadyPayload,
)

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]

HEADER_LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True, slots=True)
class Kserve:
    """The routes under /v2."""

    frames: HttpFrames
    ready: Callable[[], bool]
    """Whether the self-test has passed."""

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v2", self.server),
            web.get("/v2/health/live", self.live),
            web.get("/v2/health/ready", self.server_ready),
            web.get("/v2/models/{model}", self._guarded(self.model)),
            web.get("/v2/models/{model}/ready", self._guarded(self.model_ready)),
            web.post("/v2/models/{model}/infer", self._guarded(self.infer)),
            web.route("*", "/v2{path:/.*}", self.not_found),
        ]

    async def server(self, request: web.Request) -> web.Response:
        about: KserveServerPayload = {"name": "appliance", "version": __version__, "extensions": ["binary_tensor_data"]}
        return self.frames.respond(about)

    async def live(self, request: web.Request) -> web.Response:
        about: LivePayload = {"live": True}
        return self.frames.respond(about)

    async def server_ready(self, request: web.Request) -> web.Response:
        ready = self.ready()
        about: ReadyPayload = {"ready": ready}
        return self.frames.respond(about, 200 if ready else 503)

    async def model(self, request: web.Request) -> web.Response:
        info = self._model(request)
        about: KserveModelPayload = {
            "name": info.name,
            "platform": info.engine,
            "inputs": list(kserve_tensors.INPUTS),
            "outputs": list(kserve_tensors.OUTPUTS),
        }
        return self.frames.respond(about)

    async def model_ready(self, request: web.Request) -> web.Response:
        info, ready = self._model(request), self.ready()
        about: KserveReadyPayload = {"name": info.name, "ready": ready}
        return self.frames.respond(about, 200 if ready else 503)

    async def infer(self, request: web.Request) -> web.Response:
        cameras = self.frames.cameras
        given = cameras.given(request)
        who = cameras.permit(request, identify(request), "", given)
        self._model(request)
        self.frames.check_slots()
        header_length = _header_length(request)
        as_text = self.frames.parser.max_frame_bytes * 4 // 3  # base64; binary data is shorter
        body = await self.frames.body(request, as_text + OVERHEAD_BYTES)
        asked: kserve_tensors.Asked | None = None

        async def unpack() -> object:
            nonlocal asked, body
            asked = await asyncio.get_running_loop().run_in_executor(None, kserve_tensors.read, body, header_length)
            body = b""  # megabytes, while the frame waits
            return asked.payload

        _, outcome = await self.frames.ask(unpack, cameras.name_of(who, given))
        assert asked is not None  # or there would be no outcome
        answer, json_length = kserve_tensors.write(asked, outcome)
        if json_length is None:
            return self.frames.respond.encoded(answer)
        headers = {HEADER_LENGTH: str(json_length)}
        return web.Response(body=answer, content_type="application/octet-stream", headers=headers)

    async def not_found(self, request: web.Request) -> web.Response:
        allowed: set[str] = set()
        for resource in request.app.router.resources():
            if resource is not request.match_info.route.resource:
                allowed |= (await resource.resolve(request))[1]
        if not allowed:
            return self.frames.refuse("not_found", "route not found; inference is POST /v2/models/MODEL/infer")
        methods = ", ".join(sorted(allowed))
        response = self.frames.refuse("method_not_allowed", f"use {methods}")
        response.headers["Allow"] = methods
        return response

    def _model(self, request: web.Request) -> ModelInfo:
        """The active model, if the route names it."""
        network, name = self.frames.detector.network, request.match_info["model"]
        if network is None:
            error = self.frames.detector.in_use.model_error
            raise NoResult(str(error or "no model is loaded"), error.code if error else ModelError.code)
        if name != network.info.name:
            raise NoResult(f"model '{name[:64]}' is not active; request '{network.info.name}'", "model_not_here")
        return network.info

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.Response:
            return await self.frames.guarded(request, handler)

        return guarded


def _header_length(request: web.Request) -> int | None:
    text = request.headers.get(HEADER_LENGTH)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise BadFrame(f"{HEADER_LENGTH} must be a number of bytes", "option_invalid")
    return int(text)
