"""A network of a few hundred bytes, encoded as ONNX by hand, whose output can be computed on paper.

Its output has YOLO's shape, (1, 4 + classes, anchors), with one anchor for each 32x32 pixels. Every box is the same,
and the confidences are the mean red, green and blue under the anchor: the network detects colours.

Field numbers are those of onnx.proto3 (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from appliance.ports import Tensor
from appliance.values import Size

STRIDE = 32
CLASSES = ("red", "green", "blue")
BOX = (48.0, 40.0, 20.0, 16.0)
"""Centre, width and height in input pixels."""

_FLOAT, _INT64 = 1, 7

METADATA = {
    "description": "Colours",
    "author": "Ultralytics",
    "version": "8.3.0",
    "license": "AGPL-3.0 License (https://ultralytics.com/license)",
    "docs": "https://docs.ultralytics.com",
    "stride": "32",
    "task": "detect",
    "batch": "1",
    "imgsz": "[640, 640]",
    "names": "{0: 'red', 1: 'green', 2: 'blue'}",
    "channels": "3",
}
"""The metadata that Ultralytics' exporter writes to an ONNX file."""


def colours(size: Size | None = None, *, rows: int = 7, dimmed: float = 0.0, **metadata: str) -> bytes:
    """The network as an ONNX file.

    `size`: input size; None: any. `rows`: of the output; more than 7 look like a mask head. `dimmed`: subtracted from
    every confidence. `metadata`: overrides METADATA; an empty string removes a key.
    """
    weights = np.zeros((rows, 3, 1, 1), np.float32)
    weights[4:7, :, 0, 0] = np.eye(3)
    bias = np.zeros(rows, np.float32)
    bias[:4], bias[4:7] = BOX, -dimmed
    nodes = [
        _node("AveragePool", ["images"], "means", kernel_shape=[STRIDE, STRIDE], strides=[STRIDE, STRIDE]),
        _node("Conv", ["means", "weights", "bias"], "grid"),
        _node("Reshape", ["grid", "flat"], "output0"),
    ]
    sides: list[int | str] = ["height", "width"] if size is None else [size.height, size.width]
    anchors = "anchors" if size is None else (size.height // STRIDE) * (size.width // STRIDE)
    graph = b"".join(
        [
            *(_bytes(1, node) for node in nodes),
            _bytes(2, b"colours"),
            _bytes(5, _tensor("weights", weights, _FLOAT)),
            _bytes(5, _tensor("bias", bias, _FLOAT)),
            _bytes(5, _tensor("flat", np.array([1, rows, -1], np.int64), _INT64)),
            _bytes(11, _value("images", [1, 3, *sides])),
            _bytes(12, _value("output0", [1, rows, anchors])),
        ]
    )
    properties = {key: value for key, value in (METADATA | metadata).items() if value}
    return b"".join(
        [
            _number(1, 8),
            _bytes(2, b"tests"),
            _bytes(7, graph),
            _bytes(8, _number(2, 13)),
            *(_bytes(14, _bytes(1, key.encode()) + _bytes(2, value.encode())) for key, value in properties.items()),
        ]
    )


def expected(tensor: Tensor) -> NDArray[np.float32]:
    """The network's output for this input, computed without the network: (7, anchors)."""
    height, width = tensor.shape[:2]
    blocks = tensor.reshape(height // STRIDE, STRIDE, width // STRIDE, STRIDE, 3).mean(axis=(1, 3)) / 255
    means = blocks.reshape(-1, 3).T
    boxes = np.tile(np.array(BOX)[:, None], (1, means.shape[1]))
    return np.concatenate((boxes, means)).astype(np.float32)


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _node(kind: str, inputs: Sequence[str], output: str, **attributes: Sequence[int]) -> bytes:
    ints = 7  # AttributeProto.INTS
    return b"".join(
        [
            *(_bytes(1, name.encode()) for name in inputs),
            _bytes(2, output.encode()),
            _bytes(3, kind.lower().encode()),
            _bytes(4, kind.encode()),
            *(
                _bytes(5, _bytes(1, name.encode()) + b"".join(_number(8, one) for one in values) + _number(20, ints))
                for name, values in attributes.items()
            ),
        ]
    )


def _tensor(name: str, values: NDArray[np.float32] | NDArray[np.int64], kind: int) -> bytes:
    dims = b"".join(_number(1, side) for side in values.shape)
    return dims + _number(2, kind) + _bytes(8, name.encode()) + _bytes(9, values.tobytes())


def _value(name: str, shape: Sequence[int | str]) -> bytes:
    dims = b"".join(
        _bytes(1, _number(1, side) if isinstance(side, int) else _bytes(2, side.encode())) for side in shape
    )
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, _number(1, _FLOAT) + _bytes(2, dims)))
