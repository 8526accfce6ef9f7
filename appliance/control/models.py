"""What only somebody on the box may ask of the running service's model: routes for the control socket, never a port."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from appliance.errors import EngineError, ModelError
from appliance.flow.activation import Activation, Bounds, Trial
from appliance.models.names import is_plain


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """Take this model into use. `pictures`: a folder on the box; `force`: whatever the comparison says."""

    name: str
    pictures: str | None = None
    force: bool = False


def routes(activation: Activation, models_dir: Path, configured: str) -> list[web.RouteDef]:
    """`GET /model`: where the models lie, and the settings' `model.name`. `POST /model/activate`: 200 with the trial,
    409 and why where nothing has changed.
    """

    found = {"models_dir": str(models_dir.absolute()), "configured": configured}

    async def show(request: web.Request) -> web.Response:
        return web.json_response(found)

    async def activate(request: web.Request) -> web.Response:
        try:
            asked = msgspec.json.decode(await request.read(), type=Wanted)
        except msgspec.MsgspecError as error:
            return web.json_response({"error": str(error), "code": "option_invalid"}, status=400)
        pictures = Path(asked.pictures) if asked.pictures else None
        try:
            if not is_plain(asked.name):
                raise ModelError(f"{asked.name[:100]!r} cannot be a model's name: it is a folder in {models_dir}")
            trial = await activation.activate(asked.name, pictures, None if asked.force else Bounds())
        except (ModelError, EngineError) as error:
            return web.json_response({"error": str(error), "code": error.code}, status=409)
        return web.json_response(of_trial(trial))

    return [web.get("/model", show), web.post("/model/activate", activate)]


def of_trial(trial: Trial) -> dict[str, Any]:
    """What came of trying a model; a likeness of 0-1."""
    return {
        "model": trial.model,
        "former": trial.former,
        "infer_ms": round(trial.infer_ms, 2),
        "former_infer_ms": None if trial.former_infer_ms is None else round(trial.former_infer_ms, 2),
        "likeness": None if trial.likeness is None else round(trial.likeness, 4),
        "pictures": trial.pictures,
        "stand_in": trial.stand_in,
    }
