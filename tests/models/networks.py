"""Networks for tests: one that finds colours, ones with constant outputs, and their Ultralytics metadata."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from appliance.testing.colours import BOX, CLASSES, METADATA, STRIDE, colours, expected

__all__ = [
    "BOX", "CLASSES", "METADATA", "STRIDE", "colours", "constant", "expected", "export", "masks", "metadata_yaml",
    "save_ir",
]  # fmt: skip

ANY = (1, 3, -1, -1)


def metadata_yaml(classes: Sequence[str], **changed: object) -> str:
    """The metadata.yaml that Ultralytics writes next to an OpenVINO network."""
    metadata: dict[str, object] = {
        "description": "Ultralytics YOLO11n model trained on coco.yaml",
        "author": "Ultralytics",
        "date": "2025-06-01T12:00:00.000000",
        "version": "8.3.150",
        "license": "AGPL-3.0 License (https://ultralytics.com/license)",
        "docs": "https://docs.ultralytics.com",
        "stride": 32,
        "task": "detect",
        "batch": 1,
        "imgsz": [640, 640],
        "names": dict(enumerate(classes)),
        "args": {"batch": 1, "half": False, "int8": False, "dynamic": True, "nms": False},
        "channels": 3,
    }
    text: str = yaml.safe_dump(metadata | changed, sort_keys=False)
    return text


def save_ir(onnx: bytes, network: Path) -> Path:
    """Convert an ONNX network to OpenVINO's .xml and .bin."""
    import openvino

    source = network.with_suffix(".onnx")
    source.write_bytes(onnx)
    openvino.save_model(openvino.Core().read_model(source), network, compress_to_fp16=False)
    source.unlink()
    return network


def constant(network: Path, *outputs: Any, picture: Sequence[int] = ANY) -> Path:
    """Write an OpenVINO network whose outputs are these arrays, or functions of the picture.

    `picture`: the shape of its input, -1 for any length.
    """
    import openvino
    from openvino import opset13 as ops

    image = ops.parameter(openvino.PartialShape(list(picture)), np.float32, name="images")
    nothing = ops.multiply(ops.reduce_mean(image, np.arange(len(picture)), False), np.float32(0))
    results = [one(image) if callable(one) else ops.add(nothing, ops.constant(one)) for one in outputs]
    openvino.save_model(openvino.Model(results, [image], "constant"), network, compress_to_fp16=False)
    return network


def masks(image: Any) -> Any:
    """Mask prototypes, (1, 3, height / 4, width / 4): the picture itself."""
    from openvino import opset13 as ops

    return ops.avg_pool(image, [4, 4], [0, 0], [0, 0], [4, 4], True)


def export(folder: Path, *outputs: Any, picture: Sequence[int] = ANY, **metadata: object) -> Path:
    """A folder as `yolo export format=openvino` writes it, with a `constant` network."""
    folder.mkdir(parents=True)
    constant(folder / "best.xml", *outputs, picture=picture)
    (folder / "metadata.yaml").write_text(metadata_yaml(CLASSES, **metadata), encoding="utf-8")
    return folder
