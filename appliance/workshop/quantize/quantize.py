"""`appliance model quantize`: an INT8 bundle of a model, if it still sees as well.

Every part of it is measured as the service would run it: the pictures at their own aspect, the engine and the reader of
its output as they are configured. NNCF runs beside, in an environment of its own.
"""

from __future__ import annotations

import functools
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path

from appliance.engines import registry
from appliance.errors import ModelError
from appliance.models import bundle as bundles
from appliance.models.bundle import Bundle, Quantized
from appliance.ports import ReportLine
from appliance.settings.schema import Settings
from appliance.values import Detection, ResultFilter, Size
from appliance.vision import decode
from appliance.vision.letterbox import Letterbox
from appliance.vision.likeness import Found
from appliance.workshop.environment import python_of
from appliance.workshop.quantize import calibration, layer_times, nncf_process, quantized
from appliance.workshop.quantize.accuracy import LEAST_CONFIDENCE, Label
from appliance.workshop.quantize.calibration import Sample
from appliance.workshop.quantize.judge import Judge
from appliance.workshop.quantize.layers import Trial
from appliance.workshop.quantize.trials import Quantizer, Times, Trials

Start = Callable[[Path, Path, ReportLine], AbstractContextManager[Quantizer]]
"""Starts a Quantizer for a network and a folder of calibration inputs."""


def start_nncf(network: Path, inputs: Path, report: ReportLine) -> AbstractContextManager[Quantizer]:
    """NNCF in its own environment, made first if need be."""
    wanted = nncf_process.environment()
    return nncf_process.start(python_of(wanted, wanted.folder(), report), network, inputs)


def quantize(
    settings: Settings,
    name: str,
    *,
    pictures: Path,
    labels: Path | None,
    out: str,
    max_drop: float,
    most: int,
    report: ReportLine,
    start: Start = start_nncf,
) -> Bundle:
    """Write the model called `name` as the INT8 bundle `out`.

    `pictures`: a folder of at least eight; `most` of them are used, every second one only to judge by. `max_drop`:
    points of accuracy it may lose. Raises ModelError: what bundle.read raises, calibration_pictures,
    calibration_labels, quantize_failed, model_accuracy.
    """
    models = Path(settings.model.dir)
    original = bundles.read(models / name)
    _check_names(original, out)
    ours, held_out = calibration.halves(calibration.decodable(calibration.find(pictures, most, report), report))
    truth = _truth(held_out, calibration.labels_folder(pictures, labels), len(original.classes))

    def place_of(sample: Sample) -> Letterbox:
        return original.place(sample.picture.size, settings.flow.max_side)

    def size_of(sample: Sample) -> Size:
        return place_of(sample).outer

    try:
        with tempfile.TemporaryDirectory(prefix="quantize-") as scratch:
            inputs = Path(scratch, "inputs")
            calibration.save_inputs(ours, place_of, inputs)
            with start(original.network, inputs, report) as worker:
                report(f"{len(ours)} pictures calibrate, {len(held_out)} judge, {_against(truth is not None, name)}")
                judge = Judge(original.network, held_out, truth, _predictor(settings, original, place_of), size_of)
                report(f"  {name}: {judge.points_before:.1f} points")
                usual = Counter(map(size_of, held_out)).most_common(1)[0][0]
                trials = Trials(worker, judge, Path(scratch), report)
                found = trials.search(original.network, _timer(settings, usual), max_drop)
            told = _told(name, judge, found, calibrated_by=len(ours), judged_by=len(held_out))
            quantized.check(told, max_drop)
            tools = {"openvino": version("openvino"), "nncf": nncf_process.NNCF}
            return quantized.write(found.network, models / out, original, told, tools)
    except OSError as error:
        raise ModelError(f"{error.filename or models}: {error.strerror or error}", "quantize_failed") from None


def _check_names(original: Bundle, out: str) -> None:
    if original.precision == "int8":
        raise ModelError(f"{original.name} is INT8 already; give the model it was made from", "quantize_failed")
    if out in ("", original.name) or out.startswith(".") or Path(out).name != out:
        raise ModelError(f"--out {out!r} must be a name for a new folder in model.dir", "quantize_failed")


def _truth(held_out: Sequence[Sample], folder: Path | None, classes: int) -> list[list[Label]] | None:
    """What is in the pictures, where anything is known of it."""
    truth = calibration.labels_of(held_out, folder, classes) if folder else []
    return truth if any(truth) else None


def _told(name: str, judge: Judge, found: Trial, *, calibrated_by: int, judged_by: int) -> Quantized:
    return Quantized(
        made_from=name,
        measure=judge.measure,
        points_before=round(judge.points_before, 2),
        points_after=round(judge.points_before - (found.drop or 0.0), 2),
        judged_by=judged_by,
        calibrated_by=calibrated_by,
        floating=tuple(group.name for group in found.floating),
    )


def _timer(settings: Settings, size: Size) -> Times:
    device, threads = settings.engine.device, settings.engine.threads
    return lambda networks: layer_times.measure(networks, size, device, threads)


def _predictor(
    settings: Settings, original: Bundle, place_of: Callable[[Sample], Letterbox]
) -> Callable[[Path, Sequence[Sample]], Found]:
    """Runs pictures through a network with the engine and the reader that the service has."""
    reader = original.reader(settings.model.iou, settings.model.max_detections)
    wanted = ResultFilter(LEAST_CONFIDENCE)

    def predict(network: Path, samples: Sequence[Sample]) -> Found:
        engine = registry.create(
            settings.engine.kind, network, device=settings.engine.device, precision=settings.engine.precision,
            threads=settings.engine.threads, hint="latency",
        )  # fmt: skip
        found: list[tuple[Detection, ...]] = []
        try:
            for sample in samples:
                place = place_of(sample)
                read = functools.partial(reader.read, place=place, wanted=wanted)
                found.append(engine.infer(decode.load(sample.picture, place), read))
        finally:
            engine.close()
        return found

    return predict


def _against(labelled: bool, name: str) -> str:
    return "by their labels (mAP50-95)" if labelled else f"by the boxes of {name} (no labels were found)"
