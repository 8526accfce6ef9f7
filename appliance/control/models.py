"""The verbs that show and change the model in use.

Rules of this file:
- The command line saves a choice itself, after the activation: it may be root, the service may not.
- The page has nobody else, so its verbs try to save the choice. Where the models' folder is read-only for the service,
  the choice holds until the next restart, and the response says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from aiohttp import web

from appliance.control.page_requests import ModelChange, UseModelRequest
from appliance.control.protocol import ActivateRequest, ModelLocation, TrialResult
from appliance.control.verbs import NoRequest, Verb, handler, json_response
from appliance.errors import ModelError
from appliance.flow.activation import Activation
from appliance.flow.trial import ModelTrial, TrialBounds
from appliance.identity.audit import Audit
from appliance.models import active, bundle
from appliance.models.names import is_plain

log = logging.getLogger(__name__)


def routes(activation: Activation, audit: Audit, models_dir: Path, configured: str) -> list[web.RouteDef]:
    """`GET /model` and `POST /model/activate`.

    An activation responds with 200 and the trial's result, or with 409 and the reason why nothing has changed.
    """
    location = ModelLocation(str(models_dir.absolute()), configured)

    async def show(request: web.Request) -> web.Response:
        return json_response(location)

    async def activate(request: ActivateRequest) -> TrialResult:
        _check(request.name, models_dir)
        pictures = Path(request.pictures) if request.pictures else None
        trial = await activation.activate(request.name, pictures, None if request.force else TrialBounds())
        return TrialResult.of(trial)

    def named(request: ActivateRequest) -> Mapping[str, str | bool]:
        return {"model": request.name[:100], "force": request.force}

    verb = Verb(activate, "model_activate", ActivateRequest, named)
    return [web.get("/model", show), web.post("/model/activate", handler(verb, audit))]


class ModelVerbs:
    """Activate a model and save the choice, and go back. `configured`: `model.name` in the settings."""

    def __init__(self, activation: Activation, models_dir: Path, configured: str) -> None:
        self._activation, self._models_dir, self._configured = activation, models_dir, configured
        self._unsaved: list[str] = []
        """The models in use before each choice that could not be saved, the newest last."""

    def verbs(self) -> Mapping[str, Verb]:
        """`activate` and `roll_back`."""
        return {
            "activate": Verb(
                self._activate, "model_activate", UseModelRequest, lambda request: {"model": request.name[:100]}
            ),
            "roll_back": Verb(self._roll_back, "model_roll_back"),
        }

    def known(self) -> list[str]:
        """The models in the folder. Reads the disk."""
        try:
            folders = sorted(path for path in self._models_dir.iterdir() if path.is_dir() and is_plain(path.name))
        except OSError:
            return []
        return [folder.name for folder in folders if _is_model(folder)]

    def previous(self) -> str | None:
        """The model that was in use before; None: none is known. Reads the disk."""
        if self._unsaved:
            return self._unsaved[-1]
        former = active.read(self._models_dir, self._configured).former
        return former[0] if former else None

    async def _activate(self, request: UseModelRequest) -> ModelChange:
        _check(request.name, self._models_dir)
        trial = await self._activation.activate(request.name)
        kept = await self._save(lambda: active.activate(self._models_dir, request.name, self._configured))
        if not kept and trial.former is not None:
            self._unsaved.append(trial.former)
        return _change(trial, kept)

    async def _roll_back(self, request: NoRequest) -> ModelChange:
        name = await asyncio.to_thread(self.previous)
        if name is None:
            raise ModelError("no model was in use before this one", active.NOT_ACTIVATED)
        trial = await self._activation.activate(name)
        if self._unsaved:
            self._unsaved.pop()
            return _change(trial, kept=not self._unsaved)
        return _change(trial, await self._save(lambda: active.step_back(self._models_dir, self._configured)))

    async def _save(self, save: Callable[[], object]) -> bool:
        """Save a choice in a thread; False: the folder is read-only for the service."""
        try:
            await asyncio.to_thread(save)
        except ModelError as error:
            log.warning("the model is in use until the next restart only: %s", error)
            return False
        return True


def _check(name: str, models_dir: Path) -> None:
    if not is_plain(name):
        raise ModelError(f"{name[:100]!r} is not a valid model name; use the name of a folder in {models_dir}")


def _change(trial: ModelTrial, kept: bool) -> ModelChange:
    return ModelChange(trial.model, trial.former, round(trial.infer_ms, 1), kept)


def _is_model(folder: Path) -> bool:
    try:
        bundle.read(folder)
    except (ModelError, OSError):
        return False
    return True
