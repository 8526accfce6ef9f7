"""`appliance model quantize`: make an INT8 bundle of a model if its accuracy allows.

Accuracy is measured as the service runs the model: pictures at their own aspect ratio, with the configured engine and
output reader. NNCF runs in a separate process with its own environment.
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
from appliance.models.names import is_plain
from appliance.ports import ReportLine
from appliance.settings.schema import Settings
from appliance.values import Detection, ResultFilter, Size
from appliance.vision import decode
from appliance.vision.letterbox import Letterbox
from appliance.vision.likeness import DetectionsByImage
from appliance.workshop.environment import python_of
from appliance.workshop.quantize import calibration, nncf_process, quantized
from appliance.workshop.quantize.accuracy import LEAST_CONFIDENCE, Label
from appliance.workshop.quantize.calibration import CalibrationSample
from appliance.workshop.quantize.judge import Judge
from appliance.workshop.quantize.layer_search import LayerSearch, Quantizer
from appliance.workshop.quantize.layer_times import LayerTimer
from appliance.workshop.quantize.layers import QuantizationTrial

StartQuantizer = Callable[[Path, Path, ReportLine], AbstractContextManager[Quantizer]]
"""Starts a Quantizer for a network and a folder of calibration inputs."""


def start_nncf(network: Path, inputs: Path, report: ReportLine) -> AbstractContextManager[Quantizer]:
    """Start NNCF in its own environment, which is created if necessary."""
    environment = nncf_process.environment()
    return nncf_process.start(python_of(environment, environment.folder(), report), network, inputs)


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
    least_gain: float | None = None,
    start: StartQuantizer = start_nncf,
) -> Bundle:
    """Write the model `name` as the INT8 bundle `out`.

    `pictures`: a folder of at least eight pictures; at most `most` are used, half of them for evaluation only.
    `max_drop`: the accuracy that it may lose, in points. `least_gain`: the part of the time that INT8 has to save on
    this device; None: it is made for another one too. Raises ModelError: the codes of bundle.read,
    calibration_pictures, calibration_labels, quantize_failed, model_accuracy, not_faster.
    """
    models = Path(settings.model.dir)
    original = bundles.read(models / name)
    _check_names(original, out)
    ours, held_out = calibration.halves(calibration.decodable(calibration.find(pictures, most, report), report))
    truth = _truth(held_out, calibration.labels_folder(pictures, labels), len(original.classes))

    def place_of(sample: CalibrationSample) -> Letterbox:
        return original.place(sample.picture.size, settings.flow.max_side)

    def size_of(sample: CalibrationSample) -> Size:
        return place_of(sample).outer

    try:
        with tempfile.TemporaryDirectory(prefix="quantize-") as scratch:
            inputs = Path(scratch, "inputs")
            calibration.save_inputs(ours, place_of, inputs)
            with start(original.network, inputs, report) as worker:
                against = _against(truth is not None, name)
                report(f"calibrating on {len(ours)} pictures, evaluating on {len(held_out)} {against}")
                judge = Judge(original.network, held_out, truth, _predictor(settings, original, place_of), size_of)
                report(f"  {name}: {judge.points_before:.1f} points")
                usual = Counter(map(size_of, held_out)).most_common(1)[0][0]
                search = LayerSearch(worker, judge, Path(scratch), report)
                timer = LayerTimer(usual, settings.engine.device, settings.engine.threads)
                best = search.run(original.network, timer, max_drop, least_gain)
            facts = _facts(name, judge, best, calibrated_by=len(ours), judged_by=len(held_out))
            quantized.check(facts, max_drop)
            tools = {"openvino": version("openvino"), "nncf": nncf_process.NNCF}
            return quantized.write(best.network, models / out, original, facts, tools)
    except OSError as error:
        raise ModelError(f"{error.filename or models}: {error.strerror or error}", "quantize_failed") from None


def _check_names(original: Bundle, out: str) -> None:
    if original.precision == "int8":
        raise ModelError(f"{original.name} is already INT8. Quantize the model it was made from", "quantize_failed")
    if out == original.name or not is_plain(out):
        raise ModelError(f"--out {out[:100]!r} must be the name of a new folder in model.dir", "quantize_failed")


def _truth(held_out: Sequence[CalibrationSample], folder: Path | None, classes: int) -> list[list[Label]] | None:
    """The labels of the pictures; None if there are none."""
    truth = calibration.labels_of(held_out, folder, classes) if folder else []
    return truth if any(truth) else None


def _facts(name: str, judge: Judge, best: QuantizationTrial, *, calibrated_by: int, judged_by: int) -> Quantized:
    return Quantized(
        made_from=name,
        measure=judge.measure,
        points_before=round(judge.points_before, 2),
        points_after=round(judge.points_before - (best.drop or 0.0), 2),
        judged_by=judged_by,
        calibrated_by=calibrated_by,
        floating=tuple(group.name for group in best.floating),
    )


def _predictor(
    settings: Settings, original: Bundle, place_of: Callable[[CalibrationSample], Letterbox]
) -> Callable[[Path, Sequence[CalibrationSample]], DetectionsByImage]:
    """Runs a network on pictures with the engine and reader of the service."""
    reader = original.reader(settings.model.iou, settings.model.max_detections)
    wanted = ResultFilter(LEAST_CONFIDENCE)

    def predict(network: Path, samples: Sequence[CalibrationSample]) -> DetectionsByImage:
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
    return "against their labels (mAP50-95)" if labelled else f"against the boxes of {name} (no labels were found)"
