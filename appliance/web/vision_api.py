"""The HTTP shape that DeepStack and CodeProject.AI clients speak: Blue Iris, Agent DVR, Frigate, Home Assistant.

A request takes one of a few lanes, each a camera of its own to the rest of the appliance; when all are taken the answer
is 503 with Retry-After at once, because these clients do better with a quick refusal than with a slow answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage

from appliance import __version__
from appliance.errors import ApplianceError, BadFrame, ModelError, Refused
from appliance.flow.detector import Detector
from appliance.values import BIG_BYTES, Detected, Failed, Skipped
from appliance.web.access import Access, same
from appliance.web.form import OVERHEAD_BYTES, read_form
from appliance.web.frame_parser import HTTP_PREFIX, FrameParser
from appliance.web.payloads import Payload

log = logging.getLogger(__name__)

Respond = Callable[[Payload, int], web.Response]

_LANES = 8
_MIN_CONFIDENCE = 0.40
"""DeepStack's default, which its clients count on."""
_LONGEST_FIELD = 200
_STATUS = {
    "unauthorized": 401,
    "overloaded": 503,
    "frame_too_large": 413,
    "model_not_here": 404,
    "not_found": 404,
    "method_not_allowed": 405,
}
_FAILED = {"engine_failed", "internal_error"}
_GENERAL_MODELS = frozenset({"general", "ipcam-general", "ipcam-combined"})
"""Names of CodeProject.AI's general models, which Blue Iris asks for as it comes: the model in use answers for them."""
_MODULES = ("/v1", "/v1/server")
"""DeepStack's place of `status`, and CodeProject.AI's."""
_OUR_FAULT = {
    "model_missing",
    "model_corrupt",
    "model_unsupported",
    "engine_device_missing",
    "safe_mode",
    "shutting_down",
}


@dataclass(slots=True)
class VisionApi:
    """The routes under /v1."""

    detector: Detector
    parser: FrameParser
    respond: Respond
    access: Access
    _free: deque[str] = field(
        default_factory=lambda: deque(f"{HTTP_PREFIX}{number}" for number in range(1, _LANES + 1))
    )

    def routes(self) -> list[web.RouteDef]:
        """Clients ask for what has no body with GET or POST, as it pleases them."""
        asked = {"/v1/vision/custom/list": self.list_models}
        for place in _MODULES:
            asked[f"{place}/status/ping"] = self.ping
            asked[f"{place}/status/version"] = self.version
            asked[f"{place}/status/updateavailable"] = self.update_available
        return [
            *(route(path, handler) for path, handler in asked.items() for route in (web.get, web.post)),
            web.post("/v1/vision/detection", self.detect),
            web.post("/v1/vision/custom/{model}", self.detect),
            web.route("*", "/v1/vision/detection", self.wrong_method),
            web.route("*", "/v1/vision/custom/{model}", self.wrong_method),
            web.route("*", "/v1{path:(/.*)?}", self.not_found),
        ]

    async def detect(self, request: web.Request) -> web.Response:
        try:
            return await self._detect(request)
        except ApplianceError as error:
            told = {"code": error.code, "reason": str(error)}
            log.warning("refused a picture over HTTP: %s", error, extra={"kind": "bad_frame", **told})
            return self._refuse(error.code, str(error))
        except ConnectionError:
            raise  # the client has gone
        except Exception:
            log.exception("a picture over HTTP failed", extra={"kind": "handler"})
            return self._refuse("internal_error", "the device failed on this picture; its log has the cause")

    async def _detect(self, request: web.Request) -> web.Response:
        self._check_model(request.match_info.get("model"))
        if not request.content_type.startswith("multipart/"):
            self._check_key(request.query.get("api_key", ""))  # else it is in the form, often behind the picture
        self._check_lanes()
        fields = await self._read(request)
        self._check_key(_text(fields, "api_key"))
        image = fields.get("image")
        if image is None:
            raise BadFrame("no image: send it as the multipart field 'image', or as the whole body", "frame_empty")
        confidence = _text(fields, "min_confidence") or _text(fields, "minconfidence")
        with self._lane() as lane:
            frame = await self.parser.parse(
                {"image": image, "min_confidence": _number(confidence)}, camera=lane, sender=lane, frame_id=0
            )
            outcome = await self.detector.ask(frame)
        if isinstance(outcome, Failed):
            return self._refuse(outcome.code, outcome.message)
        if isinstance(outcome, Skipped):
            return self._refuse("overloaded", f"busy ({outcome.reason.value}); try again", outcome.retry_after_s)
        return self.respond(_payload(outcome, self.detector), 200)

    def _check_key(self, key: str) -> None:
        if self.access.rules.api_key and not same(key.strip(), self.access.rules.api_key):
            raise Refused("Incorrect api key")

    def _check_lanes(self) -> None:
        """Asked before the body arrives; a lane is taken only after it, or stalled uploads would hold all of them."""
        if not self._free:
            raise Refused(f"{_LANES} requests are under way; try again in a moment", "overloaded")

    def _check_model(self, model: str | None) -> None:
        network = self.detector.network
        if model is None or network is None or model == network.info.name or model.lower() in _GENERAL_MODELS:
            return
        raise ModelError(
            f"there is no model '{model[:64]}' here, only '{network.info.name}'; ask for that one, "
            f"or for one of {', '.join(sorted(_GENERAL_MODELS))}, which it answers for",
            "model_not_here",
        )

    async def not_found(self, request: web.Request) -> web.Response:
        return self._refuse("not_found", "no such route; object detection is POST /v1/vision/detection")

    async def wrong_method(self, request: web.Request) -> web.Response:
        response = self._refuse("method_not_allowed", "send the picture with POST, as the multipart field 'image'")
        response.headers["Allow"] = "POST"
        return response

    async def list_models(self, request: web.Request) -> web.Response:
        network = self.detector.network
        return self.respond({"success": True, "models": [network.info.name] if network else []}, 200)

    async def ping(self, request: web.Request) -> web.Response:
        return self.respond({"success": True, "message": "pong"}, 200)

    async def version(self, request: web.Request) -> web.Response:
        return self.respond({"success": True, "message": __version__, "version": __version__}, 200)

    async def update_available(self, request: web.Request) -> web.Response:
        return self.respond({"success": True, "updateAvailable": False, "message": "", "version": __version__}, 200)

    async def _read(self, request: web.Request) -> dict[str, bytes]:
        """The form's fields, in memory and bounded: aiohttp's own `post()` would write pictures to disk."""
        fields = {key: value.encode() for key, value in request.query.items() if key != "image"}
        largest = self.parser.max_frame_bytes
        if not request.content_type.startswith("multipart/"):
            return fields | {"image": await self._body(request, largest)}
        body = await self._body(request, largest + OVERHEAD_BYTES)
        content_type = request.headers["Content-Type"]
        if len(body) > BIG_BYTES:
            form = await asyncio.get_running_loop().run_in_executor(None, read_form, body, content_type)
        else:
            form = read_form(body, content_type)
        if "image" not in form and "image1" in form:
            form["image"] = form["image1"]
        return fields | form

    async def _body(self, request: web.Request, most: int) -> bytes:
        body = bytearray()
        try:
            if (request.content_length or 0) <= most:
                async for chunk in request.content.iter_any():
                    body += chunk
                    if len(body) > most:
                        break
                else:
                    return bytes(body)
        except (ValueError, BadHttpMessage, web.RequestPayloadError, ConnectionError) as error:
            raise BadFrame(f"the request's body cannot be read: {error}", "frame_type") from None
        finally:
            body.clear()  # aiohttp keeps the error, and with its traceback this frame, until the next collection
        raise BadFrame(
            f"the body has more than {most} bytes; send a picture of at most {self.parser.max_frame_bytes} "
            "(server.max_frame_bytes)",
            "frame_too_large",
        )

    @contextlib.contextmanager
    def _lane(self) -> Iterator[str]:
        self._check_lanes()
        lane = self._free.popleft()  # the one that has rested longest
        try:
            yield lane
        finally:
            self._free.append(lane)

    def _refuse(self, code: str, message: str, retry_after_s: float | None = None) -> web.Response:
        status = _STATUS.get(code) or (503 if code in _OUR_FAULT else 500 if code in _FAILED else 400)
        response = self.respond({"success": False, "error": message, "code": code, "duration": 0}, status)
        if status == 413:
            response.force_close()  # nobody reads the rest of what is being sent
        if status == 503:
            response.headers["Retry-After"] = str(max(1, math.ceil(retry_after_s or 1)))
        return response


def _payload(found: Detected, detector: Detector) -> Payload:
    predictions = [
        {
            "confidence": round(detection.confidence, 5),
            "label": detection.name,
            "x_min": round(detection.box_px.x1),
            "y_min": round(detection.box_px.y1),
            "x_max": round(detection.box_px.x2),
            "y_max": round(detection.box_px.y2),
        }
        for detection in found.detections  # surest first: Frigate's client stops at the first unsure one
    ]
    names = ", ".join(sorted({detection.name for detection in found.detections}))
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
        "inferenceMs": round(found.timing.infer_ms),
        "processMs": round(found.timing.total_ms),
        "analysisRoundTripMs": round(found.timing.total_ms),
        "duration": round(found.timing.total_ms / 1000, 4),
        "cached": found.cached,
        "timestampUTC": datetime.datetime.now(datetime.timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT"),
    }


def _text(fields: dict[str, bytes], name: str) -> str:
    return fields.get(name, b"")[:_LONGEST_FIELD].decode("utf-8", "replace").strip()


def _number(text: str) -> float:
    if not text:
        return _MIN_CONFIDENCE
    try:
        return float(text.replace(",", "."))  # 0,4 is what a German Windows writes
    except ValueError:
        raise BadFrame("min_confidence must be a number from 0 to 1", "option_invalid") from None
