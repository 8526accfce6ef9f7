"""Download a known model from the first source that has it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from appliance.errors import ModelError
from appliance.models import bundle as bundles
from appliance.models import scratch
from appliance.models.bundle import Bundle
from appliance.ports import ReportLine
from appliance.workshop import onnx_bundle
from appliance.workshop.downloads import DownloadSource, check
from appliance.workshop.known_models import YOLO11N, KnownModel


def fetch(
    models_dir: Path,
    report: ReportLine,
    *,
    model: KnownModel = YOLO11N,
    force: bool = False,
    keep_source: bool = False,
    keep_onnx: bool = False,
    sources: Sequence[DownloadSource] | None = None,
) -> Bundle:
    """Download a model into `models_dir` as a bundle, unless it is already there.

    `force`: download it anyway and replace the present one. `keep_source`, `keep_onnx`: also store the ONNX file, see
    `onnx_bundle.build`; of a model that is ONNX only. `sources`: replaces the model's own.
    If the model is ONNX, a file NAME.onnx in `models_dir` is used instead of a download.
    Raises ModelError model_fetch_failed, listing what was tried.
    """
    folder = models_dir / model.name
    if folder.is_dir() and not force and not (keep_onnx and not (folder / "model.onnx").exists()):
        return bundles.read(folder)
    models_dir.mkdir(parents=True, exist_ok=True)
    build_onnx = functools.partial(onnx_bundle.build, keep_source=keep_source, keep_onnx=keep_onnx)
    local = models_dir / f"{model.name}.onnx"
    if model.build is None and local.exists():
        report(f"using {local}")
        return build_onnx(local, folder, f"file {local.name}")
    build = model.build or functools.partial(build_onnx, dynamic=True)
    report(model.license_notice)
    failures = []
    with scratch.folder(models_dir, "fetch") as work:
        for number, source in enumerate(model.sources if sources is None else sources):
            place = work / str(number)
            place.mkdir()
            report(f"downloading {model.name} from {source.title}")
            try:
                file = source.download(place)
                check(file, source.sha256)
                return build(file, folder, source.title)
            except (OSError, ModelError) as error:
                why = (isinstance(error, OSError) and error.strerror) or error
                failures.append(f"  {source.title}: {why}")
                report(f"  failed: {why}")
    raise ModelError(
        f"cannot download {model.name}:\n" + "\n".join(failures) + f"\n{_advice(model, local)}", "model_fetch_failed"
    )


def _advice(model: KnownModel, local: Path) -> str:
    if model.build is None:
        return (
            f"On any computer, run `yolo export model={model.name}.pt format=onnx dynamic=True`, copy the file to "
            f"{local}, then try again."
        )
    return "Check the network connection, and the package index that pip and npm use, then try again."
