"""What Ultralytics' exporter writes of a network: the properties of an ONNX file, or `metadata.yaml` beside an OpenVINO
network.

Everything is read as text, and becomes numbers here: YAML's own types bring dates that do not exist and aliases that
multiply, and Python's literals may be nested until the interpreter gives up.
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
"""Of metadata.yaml; 80 classes take 3 kB, and 1 MB of brackets and commas took 40 s to read."""
_ENTRY = re.compile(r"""\s*(\d{1,9})\s*:\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\s*(?:,|\Z)""", re.DOTALL)
_POINTS = re.compile(r"\s*[\[(]\s*(\d{1,4})\s*,\s*(\d)\s*[\])]\s*")


@dataclass(frozen=True, slots=True)
class Metadata:
    """What an exporter says of its network."""

    task: str
    """One of TASKS."""
    classes: tuple[str, ...]
    stride: int
    keypoints: tuple[int, int] | None
    """Of a pose: how many points, and of how many numbers each."""
    end_to_end: bool
    """Its rows are objects already: a head without suppression, or one exported with `nms=True`."""
    license: str


def read_yaml(path: Path) -> Mapping[object, object]:
    """What is in a metadata.yaml, numbers as text. Raises ModelError model_corrupt, and OSError."""
    try:
        loaded = yaml.load(files.read_plain(path, _MOST_BYTES).decode("utf-8"), Loader=yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        why = " ".join(str(error).split())[:200]
        raise ModelError(f"{path} is damaged: {why}", "model_corrupt") from None
    return loaded if isinstance(loaded, Mapping) else {}


def understood(network: Path, told: Mapping[object, object]) -> Metadata:
    """What these properties mean. Raises ModelError: model_corrupt, model_unsupported."""
    classes = _classes(told.get("names"))
    if classes is None:
        raise ModelError(
            f"{network} does not say its class names; if Ultralytics did not export it, say with --head how it is read",
            "model_unsupported",
        )
    if (why := check_classes(classes)) is not None:
        raise ModelError(f"{network} cannot be used: {why}", "model_unsupported")
    task = _text(told.get("task", "detect"))
    if task not in TASKS:
        raise ModelError(f"{network} is a model for '{task}'; known are {', '.join(TASKS)}", "model_unsupported")
    keypoints = _keypoints(told.get("kpt_shape")) if task == "pose" else None
    if task == "pose" and keypoints is None:
        raise ModelError(f"{network} does not say what its poses are made of (kpt_shape)", "model_unsupported")
    license_ = _text(told.get("license", "unknown")).partition(" License")[0]
    return Metadata(task, classes, _stride(network, told.get("stride", "32")), keypoints, _end_to_end(told), license_)


def _text(told: object) -> str:
    return shown(told[:200]) if isinstance(told, str) else "unknown"


def _stride(network: Path, told: object) -> int:
    stride = int(told) if isinstance(told, str) and re.fullmatch(r"\d{1,9}", told) else 0
    if not 1 <= stride <= MOST_STRIDE:
        raise ModelError(
            f"{network} has the stride {shown(str(told)[:40])!r}; a number from 1 to {MOST_STRIDE} is expected, "
            "usually 32",
            "model_corrupt",
        )
    return stride


def _classes(told: object) -> tuple[str, ...] | None:
    """By number, out of a table or the text of a Python dictionary; None where that is not what it is."""
    named: dict[int, str] = {}
    if isinstance(told, str):
        pairs = _pairs(told)
    elif isinstance(told, Mapping):
        pairs = [(str(key), value) for key, value in told.items()]
    else:
        return None
    for key, name in pairs:
        if not re.fullmatch(r"\d{1,9}", key) or not isinstance(name, str):
            return None
        named[int(key)] = name
    return tuple(named[number] for number in sorted(named)) or None


def _pairs(text: str) -> list[tuple[str, object]]:
    """The entries of `{0: 'person', 1: "driver's seat"}`; none where there is anything else in it."""
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


def _keypoints(told: object) -> tuple[int, int] | None:
    text = f"[{', '.join(told)}]" if isinstance(told, list) and all(isinstance(one, str) for one in told) else told
    found = _POINTS.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    shape = int(found[1]), int(found[2])
    return shape if 1 <= shape[0] <= 1000 and shape[1] in (2, 3) else None


def _end_to_end(told: Mapping[object, object]) -> bool:
    if str(told.get("end2end", "")).lower() == "true":
        return True
    arguments = told.get("args")
    if isinstance(arguments, Mapping):
        return str(arguments.get("nms", "")).lower() == "true"
    return isinstance(arguments, str) and re.search(r"""['"]nms['"]\s*:\s*True""", arguments) is not None
