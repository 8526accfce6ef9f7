"""The metadata that Ultralytics' exporter writes: properties in an ONNX file, or `metadata.yaml` for OpenVINO.

All values are read as text and converted here: YAML's own types allow invalid dates and aliases that expand
exponentially, and Python literals can be nested deeply enough to crash the interpreter.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from appliance import files
from appliance.errors import ModelError
from appliance.models.manifest import MOST_STRIDE
from appliance.models.names import check_classes, shown
from appliance.vision.heads import TASKS

FILE = "metadata.yaml"
_MOST_BYTES = 200_000
"""Upper bound for metadata.yaml. 80 classes take 3 kB; 1 MB of brackets and commas took 40 s to parse."""
_ENTRY = re.compile(r"""\s*(\d{1,9})\s*:\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\s*(?:,|\Z)""", re.DOTALL)
_POINTS = re.compile(r"\s*[\[(]\s*(\d{1,4})\s*,\s*(\d)\s*[\])]\s*")


@dataclass(frozen=True, slots=True)
class Metadata:
    """Parsed metadata of a network."""

    task: str
    """One of TASKS."""
    classes: tuple[str, ...]
    stride: int
    keypoints: tuple[int, int] | None
    """For poses: the number of points, and of values per point."""
    end_to_end: bool
    """Whether its rows are final objects: a head without NMS, or one exported with `nms=True`."""
    license: str


def read_yaml(path: Path) -> Mapping[object, object]:
    """Read a metadata.yaml, with numbers as text. Raises ModelError model_corrupt, and OSError."""
    try:
        loaded = yaml.load(files.read_plain(path, _MOST_BYTES).decode("utf-8"), Loader=yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        why = " ".join(str(error).split())[:200]
        raise ModelError(f"{path} is damaged: {why}", "model_corrupt") from None
    return loaded if isinstance(loaded, Mapping) else {}


def parse(network: Path, properties: Mapping[object, object]) -> Metadata:
    """Parse and check these properties. Raises ModelError: model_corrupt, model_unsupported."""
    classes = _classes(properties.get("names"))
    if classes is None:
        raise ModelError(
            f"{network} contains no class names. If it was not exported by Ultralytics, declare its head with --head",
            "model_unsupported",
        )
    if (why := check_classes(classes)) is not None:
        raise ModelError(f"{network} cannot be used: {why}", "model_unsupported")
    task = _text(properties.get("task", "detect"))
    if task not in TASKS:
        raise ModelError(
            f"{network} has the unsupported task '{task}'; supported: {', '.join(TASKS)}", "model_unsupported"
        )
    keypoints = _keypoints(properties.get("kpt_shape")) if task == "pose" else None
    if task == "pose" and keypoints is None:
        raise ModelError(f"{network} does not declare the shape of its keypoints (kpt_shape)", "model_unsupported")
    license_ = _text(properties.get("license", "unknown")).partition(" License")[0]
    stride = _stride(network, properties.get("stride", "32"))
    return Metadata(task, classes, stride, keypoints, _end_to_end(properties), license_)


def _text(value: object) -> str:
    return shown(value[:200]) if isinstance(value, str) else "unknown"


def _stride(network: Path, value: object) -> int:
    stride = int(value) if isinstance(value, str) and re.fullmatch(r"\d{1,9}", value) else 0
    if not 1 <= stride <= MOST_STRIDE:
        raise ModelError(
            f"{network} has the invalid stride '{_text(value)[:40]}'; expected a whole number from 1 to "
            f"{MOST_STRIDE}, usually 32",
            "model_corrupt",
        )
    return stride


def _classes(value: object) -> tuple[str, ...] | None:
    """The class names by number, from a table or the text of a Python dictionary; None for anything else."""
    named: dict[int, str] = {}
    if isinstance(value, str):
        pairs = _pairs(value)
    elif isinstance(value, Mapping):
        pairs = [(str(key), name) for key, name in value.items()]
    else:
        return None
    for key, name in pairs:
        if not re.fullmatch(r"\d{1,9}", key) or not isinstance(name, str):
            return None
        named[int(key)] = name
    return tuple(named[number] for number in sorted(named)) or None


def _pairs(text: str) -> list[tuple[str, object]]:
    """The entries of `{0: 'person', 1: "driver's seat"}`; empty if the text contains anything else."""
    text = text.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return []
    pairs: list[tuple[str, object]] = []
    at, body = 0, text[1:-1].rstrip()
    while at < len(body):
        entry = _ENTRY.match(body, at)
        if entry is None:
            return []
        try:
            pairs.append((entry[1], ast.literal_eval(entry[2])))
        except (ValueError, SyntaxError):
            return []
        at = entry.end()
    return pairs


def _keypoints(value: object) -> tuple[int, int] | None:
    text = f"[{', '.join(value)}]" if isinstance(value, list) and all(isinstance(one, str) for one in value) else value
    found = _POINTS.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    shape = int(found[1]), int(found[2])
    return shape if 1 <= shape[0] <= 1000 and shape[1] in (2, 3) else None


def _end_to_end(properties: Mapping[object, object]) -> bool:
    if _text(properties.get("end2end")).lower() == "true":
        return True
    arguments = properties.get("args")
    if isinstance(arguments, Mapping):
        return _text(arguments.get("nms")).lower() == "true"
    return isinstance(arguments, str) and re.search(r"""['"]nms['"]\s*:\s*True""", arguments) is not None
