"""`appliance model export`: weights of Ultralytics, or one's own, as a bundle that was held against them.

The export takes pictures of any aspect (`dynamic`), and its weights are FP16. It is refused when it does not see what
the weights themselves see, run by Ultralytics: a file that can be opened proves nothing.
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
from appliance.vision.likeness import SEEN, likeness
from appliance.workshop import onnx_bundle
from appliance.workshop.environment import python_of
from appliance.workshop.export import tensorrt_engine, ultralytics_process
from appliance.workshop.export.ultralytics_process import ENVIRONMENT, Exported
from appliance.workshop.quantize import calibration
from appliance.workshop.quantize.calibration import Sample

_LEAST_POINTS = 95.0
"""Of 100: FP16 weights and another engine move a box by a pixel, and a confidence by a hundredth, and no more."""
_MOST_PICTURES = 64
_SCENE = Size(1280, 720)

Run = Callable[[str, Sequence[Path], Path], Exported]
"""Exports weights and says what they see in pictures, with a folder to work in."""


def in_own_environment(settings: Settings, report: ReportLine) -> Run:
    """Ultralytics in its environment, which is made first if need be."""

    def run(weights: str, pictures: Sequence[Path], scratch: Path) -> Exported:
        python = python_of(ENVIRONMENT, ENVIRONMENT.folder(), report)
        report(f"exporting {Path(weights).name}, and asking it what is in {len(pictures)} pictures")
        return ultralytics_process.run(
            python, weights, pictures, scratch, side=settings.flow.max_side, least=SEEN, iou=settings.model.iou
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
    run: Run | None = None,
) -> Bundle:
    """Write the weights as the bundle `name`.

    `weights`: a .pt file, or a name that Ultralytics knows and fetches. `pictures`: a folder to hold it against its
    weights on, beside the drawn scene. `onnx`: the ONNX file goes into the bundle too.
    Raises ModelError: export_failed, model_accuracy, model_unsupported.
    """
    store.check_new_name(name)
    models = Path(settings.model.dir)
    if (models / name).exists() and not force:
        raise ModelError(
            f"{models / name} is there already; --force replaces it, --name gives another", "export_failed"
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
            agreement = _held_against(settings, draft, openvino, Path(weights).name, made, samples)
            _check(agreement, len(samples), report)
            if onnx and (engine := _tensorrt(settings, draft, report)):
                _check(_held_against(settings, draft, engine, Path(weights).name, made, samples), len(samples), report)
            bundles.write_manifest(replace(draft, agreement=agreement, tools=draft.tools | made.tools))
            with scratch.appearing(models / name) as fresh:
                shutil.copytree(draft.network.parent, fresh, dirs_exist_ok=True)
    except OSError as error:
        raise ModelError(f"{error.filename or models}: {error.strerror or error}", "export_failed") from None
    return bundles.read(models / name)


def _samples(folder: Path | None, scratch: Path, report: ReportLine) -> list[Sample]:
    """The drawn scene, and the pictures of the folder."""
    drawn = scratch / "scene.jpg"
    pixels, _ = scene.draw(_SCENE)
    drawn.write_bytes(decode.encode_jpeg(pixels, 90))
    given: list[Sample] = []
    if folder is not None:
        found = calibration.find(folder, _MOST_PICTURES, lambda _: None)  # few are enough: nothing is calibrated
        given = calibration.decodable(found, report)
    return [Sample(drawn, decode.read_header(drawn.read_bytes(), _SCENE.width * _SCENE.height)), *given]


def _tensorrt(settings: Settings, draft: Bundle, report: ReportLine) -> Engine | None:
    sizes = loading.usual_sizes(settings, draft)
    return tensorrt_engine.build(draft.network.with_suffix(".onnx"), sizes, settings.engine.precision, report)


def _held_against(
    settings: Settings, made: Bundle, engine: Engine, weights: str, exported: Exported, samples: Sequence[Sample]
) -> Agreement | None:
    """What this engine, which is closed then, sees in the pictures as the service runs it, beside what the weights see;
    None: both nothing.
    """
    reader = made.reader(settings.model.iou, settings.model.max_detections)
    found: list[Sequence[Detection]] = []
    try:
        for sample in samples:
            place = made.place(sample.picture.size, settings.flow.max_side)
            read = functools.partial(reader.read, place=place, wanted=ResultFilter(SEEN))
            found.append(engine.infer(decode.load(sample.picture, place), read))
    finally:
        engine.close()
    if not any(found) and not any(exported.found):
        return None
    points = 100 * likeness(found, exported.found)
    version = exported.tools.get("ultralytics", "")
    return Agreement(f"{weights} in Ultralytics {version}".strip(), round(points, 2), len(samples))


def _check(agreement: Agreement | None, pictures: int, report: ReportLine) -> None:
    """Tell it, and raise ModelError model_accuracy where it is too little."""
    if agreement is None:
        report(f"  not proved: nothing is seen in {pictures} pictures; give some with what it knows: --on FOLDER")
        return
    report(f"  {agreement.points:.1f} % of its boxes are those of {agreement.original}, {pictures} pictures")
    if agreement.points < _LEAST_POINTS:
        raise ModelError(
            f"the export sees other things than {agreement.original}: {agreement.points:.1f} % of its boxes, and at "
            f"least {_LEAST_POINTS:g} are asked for; nothing was written",
            "model_accuracy",
        )
