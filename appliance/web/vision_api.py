"""The HTTP API of DeepStack and CodeProject.AI, for Blue Iris, Agent DVR, Frigate and Home Assistant."""

from __future__ import annotations

import asyncio
import datetime
from dataclasses import dataclass

from aiohttp import web

from appliance import __version__
from appliance.errors import BadFrame, ModelError
from appliance.flow.detector import Detector
from appliance.identity.roles import Identity, May
from appliance.values import BIG_BYTES, Detected
from appliance.web.foreign_payload_types import DeepStackPayload, DeepStackStatusPayload, PredictionPayload
from appliance.web.form import OVERHEAD_BYTES, read_form
from appliance.web.http_frames import HttpFrames
from appliance.web.identify import identify

_MIN_CONFIDENCE = 0.40
"""DeepStack's default, which its clients rely on."""
_MAX_FIELD_LENGTH = 200
_SMALL_FORM = 10_000
"""Bytes of a form without a picture."""
_GENERAL_MODELS = frozenset({"general", "ipcam-general", "ipcam-combined"})
"""CodeProject.AI's general models, which Blue Iris requests by default: all are served by the active model."""
_STATUS_PREFIXES = ("/v1", "/v1/server")
"""Where DeepStack and CodeProject.AI have their `status` routes."""


@dataclass(slots=True)
class VisionApi:
    """The routes under /v1."""

    frames: HttpFrames

    def routes(self) -> list[web.RouteDef]:
        """The routes. Those without a body accept GET and POST, since clients use either."""
        queries = {"/v1/vision/custom/list": self.list_models}
        for prefix in _STATUS_PREFIXES:
            queries[f"{prefix}/status/ping"] = self.ping
            queries[f"{prefix}/status/version"] = self.version
            queries[f"{prefix}/status/updateavailable"] = self.update_available
        return [
            *(route(path, handler) for path, handler in queries.items() for route in (web.get, web.post)),
            web.post("/v1/vision/detection", self.detect),
            web.post("/v1/vision/custom/{model}", self.detect),
            web.route("*", "/v1/vision/detection", self.wrong_method),
            web.route("*", "/v1/vision/custom/{model}", self.wrong_method),
            web.route("*", "/v1{path:(/.*)?}", self.not_found),
        ]

    async def detect(self, request: web.Request) -> web.Response:
        return await self.frames.guarded(request, self._detect)

    async def _detect(self, request: web.Request) -> web.Response:
        if not request.content_type.startswith("multipart/"):
            self._permit(request, {key: value.encode() for key, value in request.query.items()})
        self.frames.check_slots()
        fields = await self._read(request)  # a form often has the key after the picture
        who = self._permit(request, fields)
        self._check_model(request.match_info.get("model"))  # now: a refusal names the active model
        camera = self.frames.cameras.name_of(who, self.frames.cameras.given(request, fields))
        image = fields.get("image")
        if image is None:
            raise BadFrame("no image: send it as the multipart field 'image', or as the request body", "frame_empty")
        confidence = _text(fields, "min_confidence") or _text(fields, "minconfidence")
        _, outcome = await self.frames.detect({"image": image, "min_confidence": _number(confidence)}, camera)
        return self.frames.respond(_payload(outcome, self.frames.detector), 200)

    def _permit(self, request: web.Request, fields: dict[str, bytes]) -> Identity:
        """Who sends this picture. Raises AccessDenied if it may not."""
        given = self.frames.cameras.given(request, fields)
        return self.frames.cameras.permit(request, identify(request), _text(fields, "api_key"), given)

    def _check_model(self, model: str | None) -> None:
        network = self.frames.detector.network
        if model is None or network is None or model == network.info.name or model.lower() in _GENERAL_MODELS:
            return
        raise ModelError(
            f"model '{model[:64]}' is not active; request '{network.info.name}' "
            f"or one of its aliases: {', '.join(sorted(_GENERAL_MODELS))}",
            "model_not_here",
        )

    async def not_found(self, request: web.Request) -> web.Response:
        return self.frames.refuse("not_found", "route not found; object detection is POST /v1/vision/detection")

    async def wrong_method(self, request: web.Request) -> web.Response:
        response = self.frames.refuse("method_not_allowed", "use POST, with the picture as the multipart field 'image'")
        response.headers["Allow"] = "POST"
        return response

    async def list_models(self, request: web.Request) -> web.Response:
        return await self.frames.guarded(request, self._list_models)

    async def _list_models(self, request: web.Request) -> web.Response:
        key = request.query.get("api_key", "")
        if not key and request.content_type.startswith("multipart/") and (request.content_length or 0) <= _SMALL_FORM:
            key = _text(await self._read(request), "api_key")
        self.frames.cameras.check(request, identify(request), key)
        network = self.frames.detector.network
        answer: DeepStackStatusPayload = {"success": True, "models": [network.info.name] if network else []}
        return self.frames.respond(answer)

    async def ping(self, request: web.Request) -> web.Response:
        answer: DeepStackStatusPayload = {"success": True, "message": "pong"}
        return self.frames.respond(answer)

    async def version(self, request: web.Request) -> web.Response:
        answer: DeepStackStatusPayload = {"success": True, "message": __version__, "version": __version__}
        return self.frames.respond(answer)

    async def update_available(self, request: web.Request) -> web.Response:
        answer: DeepStackStatusPayload = {"success": True, "updateAvailable": False, "message": ""}
        if May.DETECT in identify(request).may:
            answer["version"] = __version__
        return self.frames.respond(answer)

    async def _read(self, request: web.Request) -> dict[str, bytes]:
        """The fields of the form, in limited memory: aiohttp's own `post()` would write pictures to disk."""
        fields = {key: value.encode() for key, value in request.query.items() if key != "image"}
        max_bytes = self.frames.parser.max_frame_bytes
        if not request.content_type.startswith("multipart/"):
            return fields | {"image": await self.frames.body(request, max_bytes)}
        body = await self.frames.body(request, max_bytes + OVERHEAD_BYTES)
        content_type = request.headers["Content-Type"]
        if len(body) > BIG_BYTES:
            form = await asyncio.get_running_loop().run_in_executor(None, read_form, body, content_type)
        else:
            form = read_form(body, content_type)
        if "image" not in form and "image1" in form:
            form["image"] = form["image1"]
        return fields | form


def _payload(outcome: Detected, detector: Detector) -> DeepStackPayload:
    predictions: list[PredictionPayload] = [
        {
            "confidence": round(detection.confidence, 5),
            "label": detection.name,
            "x_min": round(detection.box_px.x1),
            "y_min": round(detection.box_px.y1),
            "x_max": round(detection.box_px.x2),
            "y_max": round(detection.box_px.y2),
        }
        for detection in outcome.detections  # highest confidence first: Frigate stops at the first low one
    ]
    names = ", ".join(sorted({detection.name for detection in outcome.detections}))
    info = detector.network.info if detector.network else None
    return {
        "success": True,
        "predictions": predictions,
        "count": len(predictions),
        "message": f"Found {names}" if names else "No objects found",
        "command": "detect",
        "moduleId": "appliance",
        "executionProvider": f"{info.engine} {info.device}" if info else None,
        "canUseGPU": bool(info and info.device.startswith("GPU")),
        "inferenceMs": round(outcome.timing.infer_ms),
        "processMs": round(outcome.timing.total_ms),
        "analysisRoundTripMs": round(outcome.timing.total_ms),
        "duration": round(outcome.timing.total_ms / 1000, 4),
        "cached": outcome.cached,
        "timestampUTC": datetime.datetime.now(datetime.timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT"),
    }


def _text(fields: dict[str, bytes], name: str) -> str:
    return fields.get(name, b"")[:_MAX_FIELD_LENGTH].decode("utf-8", "replace").strip()


def _number(text: str) -> float:
    if not text:
        return _MIN_CONFIDENCE
    try:
        return float(text.replace(",", "."))  # some locales write 0,4
    except ValueError:
        raise BadFrame("min_confidence must be a number from 0 to 1", "option_invalid") from None
