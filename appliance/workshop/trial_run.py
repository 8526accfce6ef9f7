"""A model that comes from outside, run once as the service runs it, before it is called ready.

It runs in a process of its own: a network may end the process that compiles it, take all memory, or never come back,
and none of that shall be the end of the import, or of the service next to it.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from pathlib import Path

import msgspec
from msgspec import structs

from appliance import programs
from appliance.errors import ApplianceError, EngineError, ModelError, last_line
from appliance.flow.activation import close
from appliance.service import loading
from appliance.settings.schema import Settings
from appliance.values import Frame, ResultFilter, Size
from appliance.vision import decode, scene

_LONGEST_S = 600.0
"""A small board takes half a minute for a nano network, and this for one that is far too large for it."""
_PACKAGES = Path(__file__).parent.parent
_LANDSCAPE, _PORTRAIT = Size(1280, 720), Size(480, 640)
_SMALL_SIDE = 320
_UNSURE = 0.01
"""Confidence at which even a network that sees nothing in a drawing has something to read."""


class _Verdict(msgspec.Struct):
    """What the process says: why the model does not run, or nothing."""

    error: str = ""
    code: str = ""


def prove(settings: Settings, folder: Path) -> None:
    """Run the bundle in this folder once, in another process. Raises ModelError model_unsupported, or what loading it
    there raised.
    """
    model = structs.replace(settings.model, dir=str(folder.parent.absolute()), name=folder.name)
    engine = structs.replace(settings.engine, cache=False)
    chosen = Settings(model=model, engine=engine, flow=settings.flow)  # no secret on a command line
    command = [sys.executable, "-m", "appliance.workshop.trial_run", msgspec.json.encode(chosen).decode()]
    try:
        answer = programs.run(command, timeout_s=_LONGEST_S, cwd=_PACKAGES)
        verdict = msgspec.json.decode(answer, type=_Verdict)
    except (programs.ProgramFailed, msgspec.MsgspecError) as error:
        raise ModelError(
            f"{folder.name} does not run here: a process that tried it once ended early ({error}). Try a smaller "
            "model, or export it again",
            "model_unsupported",
        ) from None
    if verdict.error:
        raise ModelError(verdict.error, verdict.code)


def run_once(settings: Settings) -> None:
    """Load the model as the service does, and run it on two drawn pictures of other shapes and sizes.

    Raises ModelError, and EngineError when its engine cannot be used here.
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
            f"{name} loads, but fails on a picture: {error}. Export it again: `yolo export format=openvino "
            "dynamic=True`",
            "model_unsupported",
        ) from error
    except ApplianceError:
        raise
    except Exception as error:  # its reader met what it was not made for
        raise ModelError(
            f"{name} loads, but its answer to a picture cannot be read: {last_line(error)}. Export it again: "
            "`yolo export format=openvino dynamic=True`, or declare how it is read (docs/models.md)",
            "model_unsupported",
        ) from error
    finally:
        close(inference)


def _main(told: str) -> None:
    with contextlib.suppress(OSError):  # if memory runs out, this process goes first
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    logging.disable(logging.CRITICAL)
    settings = msgspec.json.decode(told, type=Settings)
    verdict = _Verdict()
    try:
        try:
            run_once(settings)
        except EngineError as error:
            if error.code != "engine_device_missing":
                raise
            cpu = structs.replace(settings.engine, kind="openvino", device="CPU", precision="")
            run_once(structs.replace(settings, engine=cpu))
    except ModelError as error:
        verdict = _Verdict(str(error), error.code)
    except EngineError as error:
        verdict = _Verdict(f"{settings.model.name} does not run here: {error}", "model_unsupported")
    sys.stdout.write(msgspec.json.encode(verdict).decode())


if __name__ == "__main__":
    _main(sys.argv[1])
