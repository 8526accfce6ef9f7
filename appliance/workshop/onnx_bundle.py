"""Turn an ONNX file with Ultralytics' metadata into a bundle."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
from dataclasses import replace
from pathlib import Path

from appliance.engines.mnn import convert as mnn
from appliance.errors import EngineError, ModelError
from appliance.models import bundle as bundles
from appliance.models import scratch
from appliance.models.bundle import Bundle
from appliance.models.network import inspect
from appliance.workshop.saving import save


def build(
    onnx: Path,
    folder: Path,
    source: str,
    *,
    keep_source: bool = False,
    keep_onnx: bool = False,
    dynamic: bool = False,
) -> Bundle:
    """Write an ONNX file as a bundle: OpenVINO IR with FP16 weights, and a manifest.

    `keep_source`: also store the file as source.onnx. `keep_onnx`: also store it as model.onnx, for engines that read
    ONNX, and as model.mnn where MNN is installed. `dynamic`: reject a network with a fixed input size. The folder
    appears complete or not at all. Raises ModelError: model_corrupt, model_unsupported; and OSError.
    """
    import openvino

    opened = inspect(onnx)
    if dynamic and opened.fixed_size is not None:
        raise ModelError(
            "its input has a fixed size. Export it again with dynamic=True, so that the input follows the camera's "
            "aspect ratio",
            "model_unsupported",
        )
    draft = bundles.from_metadata(folder.name, onnx, opened.properties, opened)
    with scratch.appearing(folder) as fresh:
        save(openvino.Core().read_model(onnx), fresh / "model.xml")
        if keep_source:
            shutil.copyfile(onnx, fresh / "source.onnx")
        if keep_onnx:
            shutil.copyfile(onnx, fresh / "model.onnx")
            _add_mnn(onnx, fresh / f"model{mnn.SUFFIX}")
        tools = {"openvino": openvino.get_version()}
        bundles.write_manifest(replace(draft, network=fresh / "model.xml", source=source, tools=tools))
    return bundles.read(folder)


def _add_mnn(onnx: Path, target: Path) -> None:
    """Convert the network for MNN if that is installed and supports it; otherwise leave it to other engines."""
    if importlib.util.find_spec("MNN") is not None:
        with contextlib.suppress(EngineError):
            mnn.convert(onnx, target)
