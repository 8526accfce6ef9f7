"""The verbs for the cameras that the device knows: forget one, or label it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiohttp import web

from appliance.control.protocol import CameraLabel, CameraLine, CameraList, ForgetCameraRequest
from appliance.control.verbs import Verb, handler, json_response
from appliance.health.roster import KnownCamera
from appliance.identity.audit import Audit

Known = Callable[[], Mapping[str, KnownCamera]]


def verbs(known: Known, forget: Callable[[str], None], label: Callable[[str, str], str]) -> Mapping[str, Verb]:
    """`remove_camera` and `label_camera`. `forget` and `label` raise CameraError; `label` returns what it stored."""

    async def remove(request: ForgetCameraRequest) -> CameraList:
        forget(request.name)
        return listed(known)

    async def rename(request: CameraLabel) -> CameraLabel:
        return CameraLabel(request.name, label(request.name, request.label))

    def named(request: ForgetCameraRequest | CameraLabel) -> Mapping[str, str]:
        return {"camera": request.name}

    return {
        "remove_camera": Verb(remove, "camera_forget", ForgetCameraRequest, named),
        "label_camera": Verb(rename, "camera_label", CameraLabel, named),
    }


def listed(known: Known) -> CameraList:
    """All known cameras."""
    lines = [CameraLine(name, camera.presence, round(camera.silent_s, 1)) for name, camera in known().items()]
    return CameraList(tuple(lines))


def routes(known: Known, verbs: Mapping[str, Verb], audit: Audit) -> list[web.RouteDef]:
    """`GET /cameras`, `POST /cameras/forget` and `POST /cameras/label`."""

    async def show(request: web.Request) -> web.Response:
        return json_response(listed(known))

    return [
        web.get("/cameras", show),
        web.post("/cameras/forget", handler(verbs["remove_camera"], audit)),
        web.post("/cameras/label", handler(verbs["label_camera"], audit)),
    ]
