"""Routes of the control socket for the cameras that the device knows. They are never served on a port."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from aiohttp import web

from appliance.control.callers import caller
from appliance.control.protocol import CameraLine, CameraList, ErrorResponse, ForgetCameraRequest
from appliance.control.server import json_response
from appliance.errors import CameraError
from appliance.health.roster import KnownCamera
from appliance.identity.audit import Audit


def routes(
    known: Callable[[], Mapping[str, KnownCamera]], forget: Callable[[str], None], audit: Audit
) -> list[web.RouteDef]:
    """`GET /cameras` and `POST /cameras/forget`. `forget` raises CameraError."""

    def listed() -> web.Response:
        lines = [CameraLine(name, camera.presence, round(camera.silent_s, 1)) for name, camera in known().items()]
        return json_response(CameraList(tuple(lines)))

    async def show(request: web.Request) -> web.Response:
        return listed()

    async def remove(request: web.Request) -> web.Response:
        try:
            body = msgspec.json.decode(await request.read(), type=ForgetCameraRequest)
            forget(body.name)
            audit.record(caller(request), "camera_forget", camera=body.name)
        except msgspec.MsgspecError as error:
            return json_response(ErrorResponse(str(error), "option_invalid"), status=400)
        except CameraError as error:
            return json_response(ErrorResponse(str(error), error.code), status=409)
        return listed()

    return [web.get("/cameras", show), web.post("/cameras/forget", remove)]
