"""Another model taken into use from the command line: in the running service at once, else from its next start on.

Rules of this file:
- A running service says itself which folder its models lie in, and what its settings name: they count, not ours.
- It tries and swaps; the choice is written down here, when it holds. Under systemd the folder is root's, and read-only
  to the service.
- Here as there two networks are loaded only where memory holds both; else the new one is tried alone.
- A folder that cannot be written is found out before anything changes.
- Without a service the model is tried here, in the same way.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from appliance.control.client import Control, NoService
from appliance.errors import EngineError, ModelError
from appliance.flow.activation import Bounds, close, holds_two, proved
from appliance.flow.inference import Inference
from appliance.governor.room import Room
from appliance.models import active, store
from appliance.ports import ReportLine
from appliance.service import loading
from appliance.settings.schema import Settings


class Choice:
    """Chooses in the running service, or here. All methods raise ModelError, and NoService where a service refuses, or
    does not let us in. `room`: memory that can still be taken, bytes; None: unknown.
    """

    def __init__(
        self, settings: Settings, service: Control, report: ReportLine, room: Callable[[], int | None] | None = None
    ) -> None:
        self._settings, self._report, self._room = settings, report, room or Room()
        self._service: Control | None = service
        self._models_dir, self._configured = Path(settings.model.dir), settings.model.name
        try:
            told = service.model()
            self._models_dir, self._configured = Path(told["models_dir"]), told["configured"]
        except NoService as error:
            if error.code != "not_running":
                raise
            self._service = None

    def activate(self, name: str, pictures: Path | None, *, force: bool) -> None:
        """Use this model, if it works and is as good as the present one; `force`: if it works."""
        self._use(name, pictures, force=force)
        active.activate(self._models_dir, name, self._configured)
        self._report(self._since(name))

    def roll_back(self) -> None:
        """Use the model that was in use before, if it works."""
        name = active.previous(self._models_dir, self._configured)
        self._use(name, None, force=True)
        active.step_back(self._models_dir, self._configured)
        self._report(self._since(name))

    def _use(self, name: str, pictures: Path | None, *, force: bool) -> None:
        store.folder_of(self._models_dir, name)
        active.check_writable(self._models_dir)
        if self._service is None:
            told = self._try(name, pictures, None if force else Bounds())
        else:
            told = shown(**self._service.activate(name, pictures, force))
        self._report(f"  {name} works: {told}")

    def _since(self, name: str) -> str:
        if self._service is None:
            return f"{name} is used from the next start of the service on"
        return f"{name} is in use, and will be after a restart"

    def _try(self, name: str, pictures: Path | None, bounds: Bounds | None) -> str:
        """Try a model beside the one in use, in this process."""
        settings, former = self._settings, None
        in_use = loading.in_force(settings).model.name
        try:
            former = self._load(in_use) if in_use != name else None
            if former is not None and not holds_two(self._room()):
                close(former)
                former = None
                self._report(f"  memory is too short for both: {name} is not compared with {in_use}")
        except (ModelError, EngineError) as error:
            self._report(f"  {in_use}, which is in use, does not work: {error}")
        try:
            new, trial = proved(self._load, name, former, pictures, bounds, settings.flow.max_side, time.monotonic)
        except EngineError as error:
            raise ModelError(f"{name} does not run here: {error}", "model_unsupported") from None
        finally:
            if former is not None:
                close(former)
        close(new)
        return shown(
            trial.former, trial.infer_ms, trial.former_infer_ms, trial.likeness, trial.pictures, trial.stand_in
        )

    def _load(self, name: str) -> Inference:
        chosen = loading.with_model(self._settings, name)
        return loading.inference_of(chosen, loading.load_to_serve(chosen), time.monotonic)


def shown(
    former: str | None,
    infer_ms: float,
    former_infer_ms: float | None,
    likeness: float | None,
    pictures: int,
    stand_in: str | None = None,
    **_: object,
) -> str:
    """What came of a trial, as text; `likeness` 0-1."""
    than = f", {former} {former_infer_ms:.0f} ms" if former and former_infer_ms else ""
    alike = f"; {100 * likeness:.0f} % alike on {pictures} pictures" if likeness is not None else ""
    slower = f"; but on a stand-in: {stand_in}" if stand_in else ""
    return f"{infer_ms:.0f} ms{than}{alike}{slower}"
