"""A model bundle: a folder with a network, and what one must know to read its output.

Ours holds `model.xml`, `model.bin` and `manifest.json` with the sha256 of each file. A folder that Ultralytics'
`yolo export format=openvino` wrote is taken as it is: its `metadata.yaml` is read instead.
"""

from __future__ import annotations

import ast
import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from appliance import engine_file
from appliance.engine_file import BuiltFor
from appliance.errors import ModelError
from appliance.files import settle
from appliance.values import Size
from appliance.vision.heads import HEADS, TASKS, Reader, head_of
from appliance.vision.letterbox import PLACINGS, Letterbox, Placing, fit, input_size

MANIFEST = "manifest.json"
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Quantized:
    """What an INT8 network was made from, and what it lost by it."""

    made_from: str
    """The bundle it was made from."""
    measure: str
    """How accuracy was measured: `map50_95` (against labels) or `likeness` (against the original's boxes)."""
    points_before: float
    """Accuracy of the original, 0-100."""
    points_after: float
    judged_by: int
    """Pictures that accuracy was measured on, none of which calibrated."""
    calibrated_by: int
    floating: tuple[str, ...]
    """Groups of layers left in floating point."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far an exported network sees what its weights see."""

    original: str
    """The weights, and what ran them."""
    points: float
    """F1 of the boxes that both have, 0-100; see `vision/likeness.py`."""
    pictures: int


@dataclass(frozen=True, slots=True)
class Bundle:
    """What is known of one model."""

    name: str
    network: Path
    """The file an engine opens."""
    task: str
    head: str
    classes: tuple[str, ...]
    stride: int
    fixed_size: Size | None
    """The only input size it takes; None: any multiple of the stride."""
    license: str
    source: str
    files: dict[str, str]
    """sha256 of each file; empty for a folder of somebody else's."""
    precision: str = ""
    """`int8` where the network was quantised; "": the engine computes as it likes best."""
    quantized: Quantized | None = None
    agreement: Agreement | None = None
    tools: dict[str, str] = field(default_factory=dict)
    """The versions of what made it."""
    keypoints: tuple[int, int] | None = None
    """Of a pose: how many points, and of how many numbers each."""
    placing: Placing = "centre"
    """Where a picture lies in its input."""
    engines: dict[str, BuiltFor] = field(default_factory=dict)
    """What each engine file among `files` was built for; elsewhere it is not used."""

    def place(self, image: Size, max_side: int) -> Letterbox:
        """Where a picture of this size lies in the input that it runs at; `max_side`: the input's longest side, px."""
        return fit(image, self.fixed_size or input_size(image, max_side, self.stride), self.placing)

    def network_for(self, reads: tuple[str, ...]) -> Path:
        """Its network in the first of these formats (suffixes) that it has. Raises ModelError model_unsupported."""
        for suffix in reads:
            if (network := self.network.with_suffix(suffix)).exists():
                return network
        raise ModelError(
            f"{self.name} has no {' or '.join(reads)} file, which the engine reads; make one with `appliance model "
            "export --onnx` (of the default model: `fetch --onnx --force`), or set engine.kind",
            "model_unsupported",
        )

    def reader(self, iou: float, max_detections: int) -> Reader:
        """What reads its outputs."""
        return Reader(self.head, self.classes, iou, max_detections, self.task, self.keypoints)


def read(folder: Path) -> Bundle:
    """The bundle in this folder, its files checked against the manifest.

    Raises ModelError: model_missing, model_corrupt, model_unsupported.
    """
    if not folder.is_dir():
        raise ModelError(f"there is no model at {folder}", "model_missing")
    try:
        if (folder / MANIFEST).exists():
            bundle = _from_manifest(folder)
            verify(bundle)
            return bundle
        if (folder / "metadata.yaml").exists():
            return _from_ultralytics(folder)
    except OSError as error:  # a worn card, say
        raise ModelError(f"{error.filename or folder} cannot be read: {error.strerror}", "model_corrupt") from None
    raise ModelError(f"{folder} has neither {MANIFEST} nor Ultralytics' metadata.yaml", "model_corrupt")


def verify(bundle: Bundle) -> None:
    """Hold each file against the manifest. Raises ModelError model_corrupt."""
    for name, expected in bundle.files.items():
        path = bundle.network.parent / name
        if not path.exists():
            raise ModelError(f"{path} is missing", "model_corrupt")
        if sha256(path) != expected:
            raise ModelError(f"{path} is damaged (wrong sha256)", "model_corrupt")


@contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `folder` at the end, whole or not at all, in place of what was there.

    It may name files only. When it is there, a power cut leaves it whole.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        fresh = Path(scratch, folder.name)
        fresh.mkdir()
        yield fresh
        settle(*fresh.iterdir(), fresh)
        if folder.exists():
            folder.rename(Path(scratch, "old"))
        fresh.rename(folder)
        settle(folder.parent)


def write_manifest(bundle: Bundle) -> None:
    """Put the manifest beside the network; `files` is taken from what lies there."""
    folder = bundle.network.parent
    known = {key: value for key, value in asdict(bundle).items() if key not in ("network", "files")}
    files = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST}
    headers = {path.name: engine_file.read_header(path) for path in sorted(folder.glob(f"*{engine_file.SUFFIX}"))}
    engines = {name: asdict(header) for name, header in headers.items() if header is not None}
    manifest = {"schema": SCHEMA, **known, "network": bundle.network.name, "engines": engines, "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def from_metadata(
    name: str, network: Path, metadata: Mapping[str, Any], input_size: Size | None, output: tuple[int | None, ...]
) -> Bundle:
    """A bundle from Ultralytics' own metadata (ONNX properties or metadata.yaml) and the network's output shape.

    Raises ModelError model_unsupported when the task or the head is none of ours.
    """
    task = str(metadata.get("task", "detect"))
    names = metadata.get("names")
    if isinstance(names, str):
        try:
            names = ast.literal_eval(names)
        except (ValueError, SyntaxError):
            names = None
    if not isinstance(names, Mapping) or not names:
        raise ModelError(
            f"{network} does not say its class names; if Ultralytics did not export it, say with --head how it is read",
            "model_unsupported",
        )
    if task not in TASKS:
        raise ModelError(f"{network} is a model for '{task}'; known are {', '.join(TASKS)}", "model_unsupported")
    classes = tuple(str(names[key]) for key in sorted(names))
    keypoints = _keypoints(metadata.get("kpt_shape")) if task == "pose" else None
    extra = {"detect": 0, "obb": 1, "pose": keypoints and keypoints[0] * keypoints[1], "segment": None}[task]
    end_to_end = str(metadata.get("end2end", "")).lower() == "true" or None
    head = head_of(output, len(classes), end_to_end, extra) if task != "pose" or keypoints else None
    if head is None:
        raise ModelError(f"{network} gives an output {output} that no head of ours reads", "model_unsupported")
    try:
        stride = int(metadata.get("stride", 32))
    except (TypeError, ValueError):
        raise ModelError(f"{network} has stride {metadata['stride']!r}, not a number", "model_corrupt") from None
    license_ = str(metadata.get("license", "unknown")).partition(" License")[0]
    return Bundle(name, network, task, head, classes, stride, input_size, license_, "", {}, keypoints=keypoints)


def _keypoints(told: object) -> tuple[int, int] | None:
    """(points, numbers of each), out of a list or the text of one; None where it says nothing that can be meant."""
    try:
        count, numbers = ast.literal_eval(told) if isinstance(told, str) else tuple(told)  # type: ignore[arg-type]
        shape = int(count), int(numbers)
    except (ValueError, TypeError, SyntaxError):
        return None
    return shape if shape[0] > 0 and shape[1] in (2, 3) else None


def network_shapes(network: Path) -> tuple[dict[str, str], Size | None, tuple[int | None, ...]]:
    """Metadata, fixed input size (None: dynamic) and output shape without the batch, as OpenVINO reads the file."""
    import openvino

    try:
        model = openvino.Core().read_model(network)
        shape, shown = model.input(0).partial_shape, model.output(0).partial_shape
        fixed = None if shape[2].is_dynamic else Size(shape[3].get_length(), shape[2].get_length())
        output = tuple(None if side.is_dynamic else side.get_length() for side in list(shown)[1:])
    except (RuntimeError, IndexError) as error:
        raise ModelError(f"{network} cannot be read: {str(error).splitlines()[-1]}", "model_corrupt") from None
    info = model.get_rt_info()
    properties = info["framework"] if "framework" in info else {}  # noqa: SIM401  # OpenVINO's map has no get
    return {key: properties[key].astype(str) for key in properties}, fixed, output


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _from_manifest(folder: Path) -> Bundle:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["schema"] != SCHEMA:
            raise ModelError(f"{path} has schema {manifest['schema']}; we read {SCHEMA}", "model_unsupported")
        if manifest["head"] not in HEADS:
            raise ModelError(f"{path} names a head '{manifest['head']}' that is none of ours", "model_unsupported")
        if manifest["task"] not in TASKS:
            raise ModelError(f"{path} names a task '{manifest['task']}' that is none of ours", "model_unsupported")
        placing = manifest.get("placing", "centre")
        if placing not in PLACINGS:
            raise ModelError(
                f"{path} names a placing '{placing}'; known are {', '.join(PLACINGS)}", "model_unsupported"
            )
        fixed = manifest["fixed_size"]
        return Bundle(
            name=folder.name,
            network=folder / manifest["network"],
            task=manifest["task"],
            head=manifest["head"],
            classes=tuple(manifest["classes"]),
            stride=int(manifest["stride"]),
            fixed_size=Size(**fixed) if fixed else None,
            license=manifest["license"],
            source=manifest["source"],
            files=dict(manifest["files"]),
            precision=str(manifest.get("precision", "")),
            quantized=_quantized(manifest.get("quantized")),
            agreement=Agreement(**manifest["agreement"]) if manifest.get("agreement") else None,
            tools=dict(manifest.get("tools") or {}),
            keypoints=_keypoints(manifest.get("keypoints")),
            placing=placing,
            engines={name: BuiltFor.of(told) for name, told in (manifest.get("engines") or {}).items()},
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is damaged ({error})", "model_corrupt") from None


def _quantized(told: Mapping[str, Any] | None) -> Quantized | None:
    return Quantized(**{**told, "floating": tuple(told["floating"])}) if told else None


def _from_ultralytics(folder: Path) -> Bundle:
    networks = sorted(folder.glob("*.xml"))
    if len(networks) != 1:
        raise ModelError(f"{folder} should hold one .xml network, and holds {len(networks)}", "model_corrupt")
    try:
        metadata = yaml.safe_load((folder / "metadata.yaml").read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ModelError(f"{folder}/metadata.yaml is damaged: {error}", "model_corrupt") from None
    _, fixed, output = network_shapes(networks[0])
    return from_metadata(folder.name, networks[0], metadata if isinstance(metadata, Mapping) else {}, fixed, output)
