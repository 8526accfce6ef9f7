"""Tensors of the Open Inference Protocol (KServe v2, REST): a request into a frame's payload, a result into a response.

Rules of this file:
- A request is a JSON header, and the binary data of its tensors after it (the extension `binary_tensor_data`).
- It carries one picture: `image`, an encoded picture as BYTES, or `pixels`, RGB as UINT8 in NHWC.
- Pixels become a PNG, so that they take the way of every frame and lose nothing.
- JSON arrays of numbers are converted piece by piece: a decoder does not release the interpreter for other threads
  while it makes millions of objects, and the event loop would wait. For the same reason the other parts of a request
  are decoded only where they are short, or into a known number of values.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from appliance.errors import BadFrame, did_you_mean
from appliance.values import Detected, Size
from appliance.web.foreign_payload_types import KserveAnswerPayload, KserveOutputPayload, KserveTensorPayload

Parameters: TypeAlias = dict[str, bool | int | float | str]

INPUTS: tuple[KserveTensorPayload, ...] = (
    {"name": "image", "datatype": "BYTES", "shape": [1]},
    {"name": "pixels", "datatype": "UINT8", "shape": [1, -1, -1, 3]},
)
"""A request has one of these."""
OUTPUTS: tuple[KserveTensorPayload, ...] = (
    {"name": "boxes", "datatype": "FP32", "shape": [-1, 4]},
    {"name": "scores", "datatype": "FP32", "shape": [-1]},
    {"name": "class_ids", "datatype": "INT32", "shape": [-1]},
    {"name": "names", "datatype": "BYTES", "shape": [-1]},
)
_OUTPUT_NAMES = tuple(one["name"] for one in OUTPUTS)
_OPTIONS = ("min_confidence", "classes")
_IGNORED = ("binary_data_output", "sequence_id", "sequence_start", "sequence_end", "priority", "timeout")
"""Parameters that clients of Triton send by themselves. The first one is read elsewhere."""
_PIECE_BYTES = 32_768
_MOST_BYTES = 65_536
"""Of the JSON of each part that holds no picture: parameters, shapes and outputs."""
_LENGTH = struct.Struct("<I")


class InputTensor(msgspec.Struct):
    """An input. `data`: in JSON, unless its parameter `binary_data_size` says that it follows the header."""

    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters = {}
    data: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)


class WantedOutput(msgspec.Struct):
    """An output that the client asks for."""

    name: str
    parameters: Parameters = {}


class InferRequest(msgspec.Struct):
    """The JSON header of a request."""

    inputs: list[InputTensor]
    id: str = ""
    parameters: Parameters = {}
    outputs: list[WantedOutput] | None = None


class _RawTensor(msgspec.Struct):
    """An InputTensor whose parts are not decoded yet."""

    name: str
    shape: msgspec.Raw
    datatype: str
    parameters: msgspec.Raw = msgspec.Raw(b"{}")
    data: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)


class _RawRequest(msgspec.Struct):
    """An InferRequest whose parts are not decoded yet."""

    inputs: msgspec.Raw
    id: str = ""
    parameters: msgspec.Raw = msgspec.Raw(b"{}")
    outputs: msgspec.Raw = msgspec.Raw(b"null")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for."""

    payload: Mapping[str, object]
    """As of `process_frame`."""
    id: str
    outputs: tuple[tuple[str, bool], ...] = field(default=())
    """The name of each, and whether it is sent as binary data."""


def read(body: bytes, header_length: int | None) -> Asked:
    """Parse a request. `header_length`: of its JSON, if binary data follows it. Raises BadFrame."""
    length = len(body) if header_length is None else header_length
    if not 0 < length <= len(body):
        raise BadFrame("Inference-Header-Content-Length must be the length of the JSON at the start of the body",
                       "option_invalid")  # fmt: skip
    view = memoryview(body)
    try:
        request = _decoded(view[:length])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadFrame(f"invalid inference request: {error}", "option_invalid") from None
    (tensor,) = request.inputs
    binary = _binary(tensor, view[length:])
    image = _picture(tensor, binary) if tensor.name == "image" else _pixels(tensor, binary)
    return Asked({"image": image, **_options(request.parameters)}, request.id, _outputs(request))


def _decoded(header: memoryview) -> InferRequest:
    """The header of a request, without the data of its tensor. Raises BadFrame, and msgspec's errors."""
    raw = msgspec.json.decode(header, type=_RawRequest)
    try:
        (tensor,) = msgspec.json.decode(raw.inputs, type=tuple[msgspec.Raw])
    except msgspec.ValidationError:
        raise _bad("a request has one input, 'image' or 'pixels'") from None
    one = msgspec.json.decode(tensor, type=_RawTensor)
    shape, parameters = _short(one.shape, list[int]), _short(one.parameters, Parameters)
    inputs = [InputTensor(one.name, shape, one.datatype, parameters, one.data)]
    outputs = _short(raw.outputs, list[WantedOutput] | None)
    return InferRequest(inputs, raw.id, _short(raw.parameters, Parameters), outputs)


def _short(part: msgspec.Raw, kind: Any) -> Any:
    """A part that holds no picture, decoded as this type."""
    if len(memoryview(part)) > _MOST_BYTES:
        raise _bad(f"at most {_MOST_BYTES} bytes are allowed for each shape, for parameters and for outputs")
    return msgspec.json.decode(part, type=kind)


def _binary(tensor: InputTensor, rest: memoryview) -> memoryview | None:
    """The tensor's binary data; None: its data is in the JSON."""
    size = tensor.parameters.get("binary_data_size")
    if size is None:
        if rest:
            raise _bad(f"input '{tensor.name[:64]}': its parameter binary_data_size is missing")
        return None
    if type(size) is not int or size != len(rest):
        raise _bad(f"input '{tensor.name[:64]}': binary_data_size is {size}, but {len(rest)} bytes follow the JSON")
    return rest


def _picture(tensor: InputTensor, binary: memoryview | None) -> bytes | str:
    if tensor.datatype != "BYTES" or tensor.shape not in ([1], [1, 1]):
        raise _bad("input 'image' must have the datatype BYTES and the shape [1]")
    if binary is not None:
        if len(binary) < 4 or _LENGTH.unpack(binary[:4])[0] != len(binary) - 4:
            raise _bad("input 'image': a BYTES element is its length (4 bytes, little-endian) and the picture")
        return bytes(binary[4:])
    for kind in (tuple[str], tuple[tuple[str]]):
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            text = msgspec.json.decode(tensor.data, type=kind)[0]
            return text if isinstance(text, str) else text[0]
    raise _bad("input 'image': data must be one picture as base64 text, [\"/9j/4AAQ…\"]")


def _pixels(tensor: InputTensor, binary: memoryview | None) -> bytes:
    if tensor.name != "pixels":
        hint = did_you_mean(tensor.name[:64], ("image", "pixels")) or "; use 'image' or 'pixels'"
        raise _bad(f"unknown input '{tensor.name[:64]}'{hint}")
    shape = tensor.shape[1:] if len(tensor.shape) == 4 and tensor.shape[0] == 1 else tensor.shape
    if tensor.datatype != "UINT8" or len(shape) != 3 or shape[2] != 3 or min(shape) < 1:
        raise _bad("input 'pixels' must have the datatype UINT8 and the shape [1, HEIGHT, WIDTH, 3] (RGB)")
    count = shape[0] * shape[1] * shape[2]
    values = np.frombuffer(binary, np.uint8) if binary is not None else _numbers(memoryview(tensor.data), count)
    if len(values) != count:
        raise _bad(f"input 'pixels': the shape {tensor.shape} needs {count} values; got {len(values)}")
    return _as_png(values.reshape(shape), Size(shape[1], shape[0]))


def _as_png(rgb: NDArray[np.uint8], size: Size) -> bytes:
    if max(size.width, size.height) > 65_535:
        raise BadFrame(f"the picture is too large: {size.width}x{size.height} px", "image_too_large")
    _, png = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 0])
    return png.tobytes()


def _numbers(text: memoryview, count: int) -> NDArray[np.uint8]:
    """The values of a JSON array, flat or nested, of at most `count` values."""
    values, start = bytearray(), 0
    while start < len(text) and len(values) <= count:
        piece = bytes(text[start : start + _PIECE_BYTES])
        if start + len(piece) < len(text):
            piece = piece[: piece.rfind(b",") + 1] or piece
        start += len(piece)
        digits = piece.translate(None, b"[] \t\r\n").strip(b",")
        try:
            values += bytes(msgspec.json.decode(b"[" + digits + b"]", type=list[int]))
        except (msgspec.DecodeError, ValueError):
            raise _bad("input 'pixels': data must be whole numbers from 0 to 255") from None
    return np.frombuffer(values, np.uint8)


def _options(parameters: Parameters) -> dict[str, object]:
    """The options of the frame. `classes` are separated by commas, since a parameter is no list."""
    for name in parameters:
        if name not in _OPTIONS and name not in _IGNORED:
            hint = did_you_mean(name[:64], _OPTIONS) or f"; known parameters: {', '.join(_OPTIONS)}"
            raise BadFrame(f"unknown parameter '{name[:64]}'{hint}", "unknown_field")
    options: dict[str, object] = {name: parameters[name] for name in _OPTIONS if name in parameters}
    classes = options.get("classes")
    if isinstance(classes, str):
        options["classes"] = [name.strip() for name in classes.split(",")]
    return options


def _outputs(request: InferRequest) -> tuple[tuple[str, bool], ...]:
    binary = request.parameters.get("binary_data_output") is True
    if not request.outputs:
        return tuple((name, binary) for name in _OUTPUT_NAMES)
    if len(request.outputs) > len(_OUTPUT_NAMES):
        raise _bad(f"at most {len(_OUTPUT_NAMES)} outputs: {', '.join(_OUTPUT_NAMES)}")
    for one in request.outputs:
        if one.name not in _OUTPUT_NAMES:
            hint = did_you_mean(one.name[:64], _OUTPUT_NAMES) or f"; known outputs: {', '.join(_OUTPUT_NAMES)}"
            raise _bad(f"unknown output '{one.name[:64]}'{hint}")
    return tuple((one.name, one.parameters.get("binary_data", binary) is True) for one in request.outputs)


def write(asked: Asked, outcome: Detected) -> tuple[bytes, int | None]:
    """The body of a response, and the length of its JSON if binary data follows it."""
    outputs: list[KserveOutputPayload] = []
    tail = b""
    for name, binary in asked.outputs:
        values = _values(name, outcome)
        described = next(one for one in OUTPUTS if one["name"] == name)
        shape = [len(outcome.detections), *described["shape"][1:]]
        output: KserveOutputPayload = {"name": name, "datatype": described["datatype"], "shape": shape}
        if binary:
            data = _as_bytes(described["datatype"], values)
            output["parameters"] = {"binary_data_size": len(data)}
            tail += data
        else:
            output["data"] = values
        outputs.append(output)
    answer: KserveAnswerPayload = {"model_name": outcome.model, "outputs": outputs}
    if asked.id:
        answer["id"] = asked.id
    header = msgspec.json.encode(answer)
    return header + tail, len(header) if any(binary for _, binary in asked.outputs) else None


def _as_bytes(datatype: str, values: list[Any]) -> bytes:
    if datatype == "BYTES":
        texts = [str(text).encode() for text in values]
        return b"".join(_LENGTH.pack(len(text)) + text for text in texts)
    return np.array(values, {"FP32": "<f4", "INT32": "<i4"}[datatype]).tobytes()


def _values(name: str, outcome: Detected) -> list[Any]:
    """An output in row-major order."""
    if name == "boxes":
        boxes = [one.box_px for one in outcome.detections]
        return [round(side, 2) for box in boxes for side in (box.x1, box.y1, box.x2, box.y2)]
    if name == "scores":
        return [round(one.confidence, 5) for one in outcome.detections]
    if name == "class_ids":
        return [one.class_id for one in outcome.detections]
    return [one.name for one in outcome.detections]


def _bad(text: str) -> BadFrame:
    return BadFrame(text, "option_invalid")
