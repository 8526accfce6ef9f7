"""Activate a model from the command line: at once in the running service, else for its next start.

Rules of this file:
- A running service reports its own model folder and configured model. They take precedence over the local settings.
- The service tries and swaps the model; this process then records the choice. Under systemd the folder belongs to root
  and is read-only to the service.
- Two networks are loaded only where memory holds both. Otherwise the new one is tried alone.
- Whether the folder is writable is checked before anything changes.
- Without a running service, this process tries the model in the same way.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from appliance.control.client import Control, NoService
from appliance.control.protocol import TrialResult
from appliance.errors import EngineError, ModelError
from appliance.flow.activation import fits_second_network
from appliance.flow.inference import Inference
from appliance.flow.trial import TrialBounds, load_and_try
from appliance.governor.room import Room
from appliance.health.words import counted
from appliance.models import active, store
from appliance.ports import ReportLine
from appliance.service import loading
from appliance.settings.schema import Settings


class ModelSwitch:
    """Switches the model of the running service, or the configured one where no service runs.

    `available_bytes`: memory that can still be taken; None: unknown. All methods raise ModelError, and NoService where
    a service refuses the request or the connection.
    """

    def __init__(
        self,
        settings: Settings,
        service: Control,
        report: ReportLine,
        available_bytes: Callable[[], int | None] | None = None,
    ) -> None:
        self._settings, self._report, self._available_bytes = settings, report, available_bytes or Room()
        self._service: Control | None = service
        self._models_dir, self._configured = Path(settings.model.dir), settings.model.name
        try:
            location = service.model()
            self._models_dir, self._configured = Path(location.models_dir), location.configured
        except NoService as error:
            if error.code != "not_running":
                raise
            self._service = None

    def activate(self, name: str, pictures: Path | None, *, force: bool) -> None:
        """Switch to this model if it works and, unless `force`, detects what the current one does."""
        self._try(name, pictures, force=force)
        active.activate(self._models_dir, name, self._configured)
        self._report(self._when(name))

    def roll_back(self) -> None:
        """Switch to the previous model if it works."""
        name = active.previous(self._models_dir, self._configured)
        self._try(name, None, force=True)
        active.step_back(self._models_dir, self._configured)
        self._report(self._when(name))

    def _try(self, name: str, pictures: Path | None, *, force: bool) -> None:
        store.folder_of(self._models_dir, name)
        active.check_writable(self._models_dir)
        if self._service is None:
            result = self._try_here(name, pictures, None if force else TrialBounds())
        else:
            result = self._service.activate(name, pictures, force)
        self._report(f"  {name} works: {describe(result)}")

    def _when(self, name: str) -> str:
        if self._service is None:
            return f"{name} will be used when the service starts"
        return f"{name} is in use now and after a restart"

    def _try_here(self, name: str, pictures: Path | None, bounds: TrialBounds | None) -> TrialResult:
        """Try a model next to the current one, in this process."""
        current = self._load_current(name)
        try:
            new, trial = load_and_try(
                self._load, name, current, pictures, bounds, self._settings.flow.max_side, time.monotonic
            )
        except EngineError as error:
            raise ModelError(f"{name} does not run on this device: {error}", "model_unsupported") from None
        finally:
            if current is not None:
                current.close()
        new.close()
        return TrialResult.of(trial)

    def _load_current(self, new: str) -> Inference | None:
        """Load the model in use; None: it is the new one, does not work, or memory does not hold both."""
        name = loading.in_force(self._settings).model.name
        if name == new:
            return None
        try:
            current = self._load(name)
        except (ModelError, EngineError) as error:
            self._report(f"  the model in use, {name}, does not work: {error}")
            return None
        if fits_second_network(self._available_bytes()):
            return current
        current.close()
        self._report(f"  not enough memory for two models: {new} is not compared with {name}")
        return None

    def _load(self, name: str) -> Inference:
        chosen = loading.with_model(self._settings, name)
        return loading.inference_of(chosen, loading.load_to_serve(chosen), time.monotonic)


def describe(result: TrialResult) -> str:
    """The result of a trial as text."""
    current = f" ({result.former}: {result.former_infer_ms:.0f} ms)" if result.former and result.former_infer_ms else ""
    if result.likeness is None:
        compared = ""
    else:
        pictures = counted(result.pictures, "picture", "pictures")
        compared = f"; {100 * result.likeness:.0f} % similarity on {pictures}"
    stand_in = f"; on a substitute engine: {result.stand_in}" if result.stand_in else ""
    return f"{result.infer_ms:.0f} ms{current}{compared}{stand_in}"
