"""Models for tests: the network of colours, and what Ultralytics writes beside one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from appliance.testing.colours import BOX, CLASSES, METADATA, STRIDE, colours, expected

__all__ = ["BOX", "CLASSES", "METADATA", "STRIDE", "colours", "expected", "metadata_yaml", "save_ir"]


def metadata_yaml(classes: Sequence[str], **changed: object) -> str:
    """A metadata.yaml as Ultralytics writes it beside an OpenVINO network."""
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
    """Write an ONNX network as OpenVINO's .xml and .bin."""
    import openvino

    source = network.with_suffix(".onnx")
    source.write_bytes(onnx)
    openvino.save_model(openvino.Core().read_model(source), network, compress_to_fp16=False)
    source.unlink()
    return network
