"""`appliance model export`: export Ultralytics weights as a bundle and verify it against them.

The network accepts pictures of any aspect ratio (`dynamic`), and its weights are FP16. Ultralytics runs the weights on
the same pictures; the export is rejected unless the detections agree. That the file can be opened proves nothing.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from appliance.engines import registry
from appliance.errors import ModelError
from appliance.models import bundle as bundles
from appliance.models import scratch, store
from appliance.models.bundle import Agreement, Bundle
from appliance.ports import Engine, ReportLine
from appliance.service import loading
from appliance.settings.schema import Settings
from appliance.values import Detection, ResultFilter, Size
from appliance.vision import decode, scene
from appliance.vision.likeness import MATCH_CONFIDENCE, likeness
from appliance.workshop import onnx_bundle
from appliance.workshop.environment import python_of
from appliance.workshop.export import tensorrt_engine, ultralytics_process
from appliance.workshop.export.ultralytics_process import ENVIRONMENT, Exported
from appliance.workshop.quantize import calibration
from appliance.workshop.quantize.calibration import CalibrationSample

_LEAST_POINTS = 95.0
"""Of 100. FP16 weights and another engine move a box by at most a pixel and a confidence by at most 0.01."""
_MOST_PICTURES = 64
_SCENE = Size(1280, 720)

RunUltralytics = Callable[[str, Sequence[Path], Path], Exported]
"""Exports weights and runs them on pictures, in a temporary folder."""


def in_own_environment(settings: Settings, report: ReportLine) -> RunUltralytics:
    """Run Ultralytics in its own environment, which is created if necessary."""

    def run(weights: str, pictures: Sequence[Path], scratch: Path) -> Exported:
        python = python_of(ENVIRONMENT, ENVIRONMENT.folder(), report)
        report(f"exporting {Path(weights).name} and running it on {_count(pictures)}")
        return ultralytics_process.run(
            python,
            weights,
            pictures,
            scratch,
            side=settings.flow.max_side,
            least=MATCH_CONFIDENCE,
            iou=settings.model.iou,
        )

    return run


def export(
    settings: Settings,
    weights: str,
    *,
    name: str,
    pictures: Path | None,
    onnx: bool,
    force: bool,
    report: ReportLine,
    run: RunUltralytics | None = None,
) -> Bundle:
    """Write the weights as the bundle `name`.

    `weights`: a .pt file, or a name that Ultralytics downloads. `pictures`: a folder of pictures for the verification,
    in addition to the drawn scene. `onnx`: also store the ONNX file.
    Raises ModelError: export_failed, model_accuracy, model_unsupported.
    """
    store.check_new_name(name)
    models = Path(settings.model.dir)
    if (models / name).exists() and not force:
        raise ModelError(
            f"{models / name} already exists. Use --force to replace it, or --name for another name", "export_failed"
        )
    if Path(weights).is_file():
        weights = str(Path(weights).resolve())
    try:
        models.mkdir(parents=True, exist_ok=True)
        with scratch.folder(models, "export") as place:
            samples = _samples(pictures, place, report)
            work = place / "work"
            work.mkdir()
            made = (run or in_own_environment(settings, report))(weights, [sample.path for sample in samples], work)
            draft = onnx_bundle.build(made.onnx, place / name, Path(weights).name, dynamic=True, keep_onnx=onnx)
            openvino = registry.create("openvino", draft.network, hint="latency")
            agreement = _compare(settings, draft, openvino, Path(weights).name, made, samples)
            _check(agreement, samples, report)
            if onnx and (engine := _tensorrt(settings, draft, report)):
                _check(_compare(settings, draft, engine, Path(weights).name, made, samples), samples, report)
            bundles.write_manifest(replace(draft, agreement=agreement, tools=draft.tools | made.tools))
            with scratch.appearing(models / name, replace=force) as fresh:
                shutil.copytree(draft.network.parent, fresh, dirs_exist_ok=True)
    except OSError as error:
        raise ModelError(f"{error.filename or models}: {error.strerror or error}", "export_failed") from None
    return bundles.read(models / name)


def _samples(folder: Path | None, scratch: Path, report: ReportLine) -> list[CalibrationSample]:
    """The drawn scene and the pictures of the folder."""
    drawn = scratch / "scene.jpg"
    pixels, _ = scene.draw(_SCENE)
    drawn.write_bytes(decode.encode_jpeg(pixels, 90))
    given: list[CalibrationSample] = []
    if folder is not None:
        found = calibration.find(folder, _MOST_PICTURES, lambda _: None)  # a few are enough: nothing is calibrated
        given = calibration.decodable(found, report)
    return [CalibrationSample(drawn, decode.read_header(drawn.read_bytes(), _SCENE.width * _SCENE.height)), *given]


def _tensorrt(settings: Settings, draft: Bundle, report: ReportLine) -> Engine | None:
    sizes = loading.usual_sizes(settings, draft)
    return tensorrt_engine.build(draft.network.with_suffix(".onnx"), sizes, settings.engine.precision, report)


def _compare(
    settings: Settings,
    made: Bundle,
    engine: Engine,
    weights: str,
    exported: Exported,
    samples: Sequence[CalibrationSample],
) -> Agreement | None:
    """Compare the engine's detections, made as the service makes them, with those of the weights; close the engine.

    None: neither detects anything.
    """
    reader = made.reader(settings.model.iou, settings.model.max_detections)
    found: list[Sequence[Detection]] = []
    try:
        for sample in samples:
            place = made.place(sample.picture.size, settings.flow.max_side)
            read = functools.partial(reader.read, place=place, wanted=ResultFilter(MATCH_CONFIDENCE))
            found.append(engine.infer(decode.load(sample.picture, place), read))
    finally:
        engine.close()
    if not any(found) and not any(exported.found):
        return None
    points = 100 * likeness(found, exported.found)
    version = exported.tools.get("ultralytics", "")
    return Agreement(f"{weights} in Ultralytics {version}".strip(), round(points, 2), len(samples))


def _check(agreement: Agreement | None, samples: Sequence[CalibrationSample], report: ReportLine) -> None:
    """Report the agreement. Raises ModelError model_accuracy if it is too low."""
    if agreement is None:
        report(f"  not verified: no objects detected in {_count(samples)}. Pass pictures of its classes: --on FOLDER")
        return
    report(f"  {agreement.points:.1f} % of the boxes agree with {agreement.original} ({_count(samples)})")
    if agreement.points < _LEAST_POINTS:
        raise ModelError(
            f"the export differs from {agreement.original}: {agreement.points:.1f} % of the boxes agree, but at least "
            f"{_LEAST_POINTS:g} % are required. Nothing was written",
            "model_accuracy",
        )


def _count(pictures: Sequence[object]) -> str:
    return f"{len(pictures)} picture{'s' * (len(pictures) != 1)}"
