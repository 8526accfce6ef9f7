"""Run an imported model once, the way the service runs it, before it is reported as ready."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import msgspec
from msgspec import structs

from appliance.errors import ApplianceError, EngineError, ModelError, last_line
from appliance.service import loading
from appliance.settings.schema import Settings
from appliance.values import Frame, ResultFilter, Size
from appliance.vision import decode, scene
from appliance.workshop import own_process

_LANDSCAPE, _PORTRAIT = Size(1280, 720), Size(480, 640)
_SMALL_SIDE = 320
_UNSURE = 0.01
"""A confidence so low that the output is not empty even if nothing is detected."""


def check_runs(settings: Settings, folder: Path) -> None:
    """Run the bundle in this folder once, in another process.

    Raises ModelError: model_unsupported, or the error that loading it raised there.
    """
    model = structs.replace(settings.model, dir=str(folder.parent.absolute()), name=folder.name)
    engine = structs.replace(settings.engine, cache=False)
    chosen = Settings(model=model, engine=engine, flow=settings.flow)  # no secrets on a command line
    own_process.run("appliance.workshop.trial_run", [msgspec.json.encode(chosen).decode()], folder.name)


def run_once(settings: Settings) -> None:
    """Load the model as the service does, and run it on two drawn pictures of different shapes and sizes.

    Raises ModelError, and EngineError if the engine cannot be used on this device.
    """
    name = settings.model.name
    network = loading.load_to_serve(settings)
    inference = loading.inference_of(settings, network, time.monotonic)
    try:
        for image, side, confidence in (
            (_LANDSCAPE, settings.flow.max_side, settings.model.min_confidence),
            (_PORTRAIT, min(_SMALL_SIDE, settings.flow.max_side), _UNSURE),
        ):
            pixels, _ = scene.draw(image)
            picture = decode.read_header(decode.encode_jpeg(pixels, 85), image.width * image.height)
            inference.run(Frame("_trial", "_trial", 0, picture, ResultFilter(confidence), time.monotonic()), side)
    except EngineError as error:
        raise ModelError(
            f"{name} loads, but inference fails: {error}. Export it again: `yolo export format=openvino dynamic=True`",
            "model_unsupported",
        ) from error
    except ApplianceError:
        raise
    except Exception as error:  # the reader did not expect this output
        raise ModelError(
            f"{name} loads, but its output cannot be read: {last_line(error)}. Export it again: "
            "`yolo export format=openvino dynamic=True`, or declare its head (docs/models.md)",
            "model_unsupported",
        ) from error
    finally:
        inference.close()


def _trial(settings: Settings) -> None:
    """Run the model once, on the CPU if the configured device is missing. Raises ModelError."""
    try:
        try:
            run_once(settings)
        except EngineError as error:
            if error.code != "engine_device_missing":
                raise
            cpu = structs.replace(settings.engine, kind="openvino", device="CPU", precision="")
            run_once(structs.replace(settings, engine=cpu))
    except EngineError as error:
        raise ModelError(f"{settings.model.name} does not run on this device: {error}", "model_unsupported") from error


if __name__ == "__main__":
    own_process.report(lambda: _trial(msgspec.json.decode(sys.argv[1], type=Settings)))
