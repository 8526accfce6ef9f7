"""Routes of the control socket that show and change the model in use. They are never served on a port."""

from __future__ import annotations

from pathlib import Path

import msgspec
from aiohttp import web

from appliance.control.callers import caller
from appliance.control.protocol import ActivateRequest, ErrorResponse, ModelLocation, TrialResult
from appliance.control.server import json_response
from appliance.errors import EngineError, ModelError
from appliance.flow.activation import Activation
from appliance.flow.trial import TrialBounds
from appliance.identity.audit import Audit
from appliance.models.names import is_plain


def routes(activation: Activation, audit: Audit, models_dir: Path, configured: str) -> list[web.RouteDef]:
    """`GET /model` and `POST /model/activate`.

    An activation responds with 200 and the trial's result, or with 409 and the reason why nothing has changed.
    """
    location = ModelLocation(str(models_dir.absolute()), configured)

    async def show(request: web.Request) -> web.Response:
        return json_response(location)

    async def activate(request: web.Request) -> web.Response:
        try:
            body = msgspec.json.decode(await request.read(), type=ActivateRequest)
        except msgspec.MsgspecError as error:
            return json_response(ErrorResponse(str(error), "option_invalid"), status=400)
        pictures = Path(body.pictures) if body.pictures else None
        try:
            if not is_plain(body.name):
                raise ModelError(
                    f"{body.name[:100]!r} is not a valid model name; use the name of a folder in {models_dir}"
                )
            trial = await activation.activate(body.name, pictures, None if body.force else TrialBounds())
        except (ModelError, EngineError) as error:
            audit.record(caller(request), "model_activate", ok=False, model=body.name[:100], code=error.code)
            return json_response(ErrorResponse(str(error), error.code), status=409)
        audit.record(caller(request), "model_activate", model=body.name, force=body.force)
        return json_response(TrialResult.of(trial))

    return [web.get("/model", show), web.post("/model/activate", activate)]
