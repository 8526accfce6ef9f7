"""`POST /detect`: one picture as the body, its `detection_results` as the response."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiohttp import web

from appliance.errors import BadFrame, did_you_mean
from appliance.web import payloads
from appliance.web.http_cameras import FIELD
from appliance.web.http_frames import HttpFrames
from appliance.web.identify import identify


def _number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text  # the parser refuses it


OPTIONS: Mapping[str, Callable[[str], object]] = {
    "min_confidence": _number,
    "classes": lambda text: [name.strip() for name in text.split(",")],
    "frame_id": str,
    "captured_at": _number,
}
"""The options of a frame, as the query carries them. `classes` are separated by commas."""


def routes(frames: HttpFrames) -> list[web.RouteDef]:
    async def detect(request: web.Request) -> web.Response:
        given = frames.cameras.given(request)
        who = frames.cameras.permit(request, identify(request), "", given)
        options = _options(request)
        frames.check_slots()
        image = await frames.body(request, frames.parser.max_frame_bytes)
        frame, outcome = await frames.detect({"image": image, **options}, frames.cameras.name_of(who, given))
        return frames.respond(payloads.of_detected(frame, outcome))

    async def guarded(request: web.Request) -> web.Response:
        return await frames.guarded(request, detect)

    return [web.post("/detect", guarded)]


def _options(request: web.Request) -> dict[str, object]:
    if request.content_type.startswith("multipart/"):
        raise BadFrame(
            "/detect takes the picture itself as the body (curl --data-binary @photo.jpg); "
            "to send a form, use /v1/vision/detection",
            "frame_type",
        )
    options: dict[str, object] = {}
    for name, text in request.query.items():
        if name == FIELD:
            continue
        if name not in OPTIONS:
            known = (*OPTIONS, FIELD)
            hint = did_you_mean(name[:64], known) or f"; known options: {', '.join(known)}"
            raise BadFrame(f"unknown option '{name[:64]}'{hint}", "unknown_field")
        options[name] = OPTIONS[name](text)
    return options
