"""What the steps of `appliance tune` do on a real device."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import structs

from appliance.commands import installed
from appliance.commands.activate import ModelSwitch
from appliance.commands.backup import places
from appliance.commands.bench.measure import measure_one
from appliance.commands.bench.plan import Plan
from appliance.commands.bench.progress import Progress
from appliance.commands.detect_files import detect_files
from appliance.commands.tune.choice import LEAST_GAIN
from appliance.commands.tune.journal import FILE, Journal
from appliance.commands.tune.run import Acts, Measured, TuneSubject
from appliance.control.client import Control, NoService
from appliance.device import profile
from appliance.device.sensors.machine import MachineSensors
from appliance.engines import registry
from appliance.errors import ApplianceError, ModelError
from appliance.flow import calibration_frames
from appliance.models import active
from appliance.models import bundle as bundles
from appliance.service import from_settings, loading
from appliance.settings.schema import Settings
from appliance.values import Detected, Detection
from appliance.vision import picture_files
from appliance.vision.likeness import likeness
from appliance.workshop.quantize import calibration
from appliance.workshop.quantize.quantize import quantize

SECONDS = 5.0
QUANTIZE_S = 240.0
"""Three to four minutes on two x86-64 cores; for the progress bar."""
_MOST_PICTURES = 300
_COMPARED_PICTURES = 64
_MAX_DROP = 1.0
_LONGEST_WAIT_S, _POLL_S = 3600.0, 10.0


def subject_of(settings: Settings) -> TuneSubject:
    """What to tune with these settings. Raises ModelError."""
    in_use = loading.in_force(settings).model.name
    found = bundles.read(Path(settings.model.dir) / in_use)
    model = found.quantized.made_from if found.quantized else in_use
    others = tuple(name for name in registry.names() if name != settings.engine.kind and _concerns(name, settings))
    return TuneSubject(model, f"{model}-int8", in_use, settings.engine.kind, others)


def _concerns(engine: str, settings: Settings) -> bool:
    """Whether an engine may be suggested here: an inference server only where one is set."""
    return engine != "kserve" or bool(settings.engine.server)


def kept_frames(settings: Settings) -> Path | None:
    """The folder of the frames that the service has kept for this; None: there are too few."""
    state = places.of_device().state if installed.is_device() else from_settings.state_dir(settings)
    folder = state / calibration_frames.FOLDER
    return folder if len(picture_files.find(folder)) >= calibration.LEAST else None


def journal_of(settings: Settings, subject: TuneSubject) -> Journal:
    """The journal of this machine, model and engine."""
    title = f"{subject.model} on {subject.engine}, {profile.machine_name()}"
    return Journal(Path(settings.model.dir) / FILE, title)


def acts_of(
    settings: Settings, subject: TuneSubject, service: Control, pictures: Path | None, progress: Progress
) -> Acts:
    """The acts on this device. `pictures`: a folder of pictures from its cameras."""
    models = Path(settings.model.dir)
    plan = Plan((settings.flow.max_side,), SECONDS)

    def make_int8() -> str:
        if (models / subject.int8).is_dir():
            return f"{subject.int8} was there already"
        if pictures is None:
            raise ModelError(
                "pass pictures of this site's cameras (--pictures FOLDER), or let the service keep some "
                "(model.calibration_frames)",
                "calibration_pictures",
            )
        quantize(settings, subject.model, pictures=pictures, labels=None, out=subject.int8, max_drop=_MAX_DROP,
                 most=_MOST_PICTURES, report=progress.line, least_gain=LEAST_GAIN)  # fmt: skip
        return f"made {subject.int8}"

    def measure(engine: str, model: str) -> Measured:
        rung = measure_one(settings, model, engine, plan, progress).rungs[0]
        return Measured(rung.cpu_ms, rung.fps)

    def agreement(engine: str, model: str) -> float | None:
        paths = picture_files.find(pictures)[:_COMPARED_PICTURES] if pictures else []
        sides = [_boxes(settings, *one, paths) for one in ((engine, model), (subject.engine, subject.model))]
        return round(100 * likeness(*sides), 2) if any(map(any, sides)) else None

    return Acts(
        wait_until_quiet=lambda: wait_until_quiet(lambda: busy(settings, service), progress),
        make_int8=make_int8,
        has_int8=lambda: (models / subject.int8).is_dir(),
        measure=measure,
        agreement=agreement,
        activate=lambda name: ModelSwitch(settings, service, progress.line).activate(name, pictures, force=False),
        stage=progress.stage,
        report=progress.line,
    )


def undo(settings: Settings, service: Control, progress: Progress) -> str:
    """Go back to the model that was active before the last run, and return its name. Raises ApplianceError."""
    subject = subject_of(settings)
    journal = journal_of(settings, subject)
    models, configured = Path(settings.model.dir), settings.model.name
    activated = journal.result("activate")
    before = journal.result("before")
    if activated is None or before is None or activated != active.read(models, configured).name:
        raise ApplianceError("nothing to undo: the model in use was not activated by `appliance tune`", "not_tuned")
    ModelSwitch(settings, service, progress.line).activate(before, None, force=True)
    return before


def busy(settings: Settings, service: Control) -> str | None:
    """Why nothing may be measured now, for a person; None: the device is quiet and cool."""
    try:
        if any(one.presence == "sending" for one in service.cameras().cameras):
            return "cameras are sending"  # without their number, which would be a new line each time it changes
        governor = service.governor()
        if governor is not None and governor.cur_state > 0:
            return f"the device is throttled: {governor.why}"
    except NoService as error:
        if error.code != "not_running":
            raise
    temp_c = MachineSensors().read().thermal.soc_temp_c
    if temp_c is not None and temp_c >= settings.governor.target_temp_c:
        return f"the chip is at {temp_c:.0f} °C"
    return None


def wait_until_quiet(
    reason: Callable[[], str | None], progress: Progress, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Wait while there is a reason to, at most an hour. Raises ApplianceError not_tuned."""
    said = ""
    for _ in range(int(_LONGEST_WAIT_S / _POLL_S)):
        why = reason()
        if why is None:
            return
        if why != said:
            progress.line(f"waiting: {why}")
            said = why
        sleep(_POLL_S)
    raise ApplianceError(
        f"the device was not quiet for an hour ({said}). Run `appliance tune` again at night, or stop the service: it "
        "continues where it stopped",
        "not_tuned",
    )


def _boxes(settings: Settings, engine: str, model: str, paths: Sequence[Path]) -> list[tuple[Detection, ...]]:
    chosen = structs.replace(
        settings,
        engine=structs.replace(settings.engine, kind=engine),
        model=structs.replace(settings.model, name=model),
    )
    outcomes = [still.outcome for still in detect_files(chosen, paths)] if paths else []
    return [one.detections if isinstance(one, Detected) else () for one in outcomes]
