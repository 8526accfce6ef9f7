"""A model bundle: a folder with a network and the facts needed to read its output.

Our bundles contain `model.xml`, `model.bin` and `manifest.json` with the sha256 of each file. A folder written by
Ultralytics' `yolo export format=openvino` is used unchanged; its `metadata.yaml` replaces the manifest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from msgspec import structs

from appliance.errors import ModelError
from appliance.files import sha256
from appliance.models import engine_file, manifest, metadata
from appliance.models.engine_file import BuiltFor
from appliance.models.manifest import SCHEMA
from appliance.models.metadata import Metadata
from appliance.models.network import OpenedNetwork, inspect
from appliance.values import Size
from appliance.vision.heads import Reader, head_of
from appliance.vision.letterbox import Letterbox, Placing, fit, input_size

MANIFEST = manifest.FILE
MOST_BYTES = 2_000_000_000
"""Upper bound for all files of a bundle together; a nano model has 6 to 25 MB."""


@dataclass(frozen=True, slots=True)
class Quantized:
    """The origin of an INT8 network, and how much accuracy quantization cost."""

    made_from: str
    """The bundle it was made from."""
    measure: str
    """How accuracy was measured: `map50_95` (against labels) or `likeness` (against the original's boxes)."""
    points_before: float
    """Accuracy of the original, 0-100."""
    points_after: float
    judged_by: int
    """Number of pictures for measuring accuracy; none of them was used for calibration."""
    calibrated_by: int
    floating: tuple[str, ...]
    """Groups of layers that stay in floating point."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well an exported network agrees with its weights."""

    original: str
    """The weights and the program that ran them."""
    points: float
    """F1 of the boxes that both found, 0-100; see `vision/likeness.py`."""
    pictures: int


@dataclass(frozen=True, slots=True)
class Bundle:
    """One model: its files and how to run it."""

    name: str
    network: Path
    """The file an engine opens."""
    task: str
    head: str
    classes: tuple[str, ...]
    stride: int
    fixed_size: Size | None
    """The only supported input size; None: any multiple of the stride."""
    license: str
    source: str
    files: dict[str, str]
    """sha256 of each file; empty without a manifest."""
    precision: str = ""
    """`int8` for a quantized network; "": the engine chooses."""
    quantized: Quantized | None = None
    agreement: Agreement | None = None
    tools: dict[str, str] = field(default_factory=dict)
    """Versions of the tools that made it."""
    keypoints: tuple[int, int] | None = None
    """For poses: the number of points, and of values per point."""
    placing: Placing = "centre"
    """How a picture is placed in the input."""
    engines: dict[str, BuiltFor] = field(default_factory=dict)
    """What each engine file in `files` was built for; on other devices it is ignored."""

    def place(self, image: Size, max_side: int) -> Letterbox:
        """Place a picture of this size in the network's input; `max_side`: longest side of the input, px."""
        return fit(image, self.fixed_size or input_size(image, max_side, self.stride), self.placing)

    def network_for(self, reads: tuple[str, ...]) -> Path:
        """The network file with the first of these suffixes that exists. Raises ModelError model_unsupported."""
        for suffix in reads:
            if (network := self.network.with_suffix(suffix)).exists():
                return network
        raise ModelError(
            f"{self.name} has no {' or '.join(reads)} file, which this engine needs. Create one with `appliance model "
            "export --onnx` (default model: `appliance model fetch --onnx --force`), or change engine.kind",
            "model_unsupported",
        )

    def reader(self, iou: float, max_detections: int) -> Reader:
        """The reader of its outputs."""
        return Reader(self.head, self.classes, iou, max_detections, self.task, self.keypoints)


def read(folder: Path) -> Bundle:
    """Read the bundle in this folder and check its files against the manifest.

    Every problem raises ModelError: model_missing, model_corrupt, model_unsupported.
    """
    try:
        if not folder.is_dir():
            raise ModelError(f"model not found: {folder}", "model_missing")
        _check_plain(folder)
        if (folder / MANIFEST).exists():
            bundle = _from_manifest(folder)
            verify(bundle)
            return bundle
        if (folder / metadata.FILE).exists():
            return _from_ultralytics(folder)
    except ModelError:
        raise
    except OSError as error:  # such as a worn SD card
        raise ModelError(f"{error.filename or folder} cannot be read: {error.strerror}", "model_corrupt") from None
    except Exception as error:
        raise ModelError(f"{folder} cannot be read: {type(error).__name__}: {error}", "model_corrupt") from error
    raise ModelError(f"{folder} contains neither {MANIFEST} nor {metadata.FILE} (Ultralytics)", "model_corrupt")


def verify(bundle: Bundle) -> None:
    """Check the sha256 of each file. Raises ModelError model_corrupt, and OSError."""
    left = MOST_BYTES
    for name, expected in bundle.files.items():
        path = bundle.network.parent / name
        if not path.exists():
            raise ModelError(f"{path} is missing", "model_corrupt")
        if (left := left - path.stat().st_size) < 0:
            raise ModelError(f"{path.parent} is larger than {MOST_BYTES / 1e9:.0f} GB", "model_corrupt")
        if sha256(path) != expected:
            raise ModelError(f"{path} is damaged (wrong sha256)", "model_corrupt")


def _check_plain(folder: Path) -> None:
    """Check that the folder contains no pipe or device: opening one may block forever."""
    for path in folder.iterdir():
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise ModelError(f"{path} is neither a file nor a folder. Delete it", "model_corrupt")


def write_manifest(bundle: Bundle) -> None:
    """Write the manifest next to the network; `files` lists what the folder contains."""
    folder = bundle.network.parent
    known = {key: value for key, value in asdict(bundle).items() if key not in ("network", "files")}
    files = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST}
    headers = {path.name: engine_file.read_header(path) for path in sorted(folder.glob(f"*{engine_file.SUFFIX}"))}
    engines = {name: asdict(header) for name, header in headers.items() if header is not None}
    document = {"schema": SCHEMA, **known, "network": bundle.network.name, "engines": engines, "files": files}
    (folder / MANIFEST).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def from_metadata(name: str, network: Path, properties: Mapping[Any, Any], opened: OpenedNetwork) -> Bundle:
    """A bundle from Ultralytics' metadata (ONNX properties or metadata.yaml) and the network's shapes.

    Raises ModelError: model_corrupt, or model_unsupported for an unsupported task or output.
    """
    parsed = metadata.parse(network, properties)
    output = opened.outputs[0] if opened.outputs else ()
    head = head_of(output, len(parsed.classes), parsed.end_to_end or None, _extra_values(network, parsed, opened))
    if head is None:
        raise ModelError(f"{network} has an unsupported output shape: {output}", "model_unsupported")
    return Bundle(
        name, network, parsed.task, head, parsed.classes, parsed.stride, opened.fixed_size, parsed.license, "", {},
        keypoints=parsed.keypoints,
    )  # fmt: skip


def _extra_values(network: Path, parsed: Metadata, opened: OpenedNetwork) -> int | None:
    """The number of values after each box and its confidences; None: unknown."""
    if parsed.task == "segment":
        prototypes = opened.outputs[1] if len(opened.outputs) == 2 else ()
        if len(prototypes) != 3:
            raise ModelError(
                f"{network} is a segmentation model without an output for mask prototypes. Export it again with "
                "Ultralytics 8.0 or later",
                "model_unsupported",
            )
        return prototypes[0]
    if parsed.keypoints is not None:
        return parsed.keypoints[0] * parsed.keypoints[1]
    return 1 if parsed.task == "obb" else 0


def _from_manifest(folder: Path) -> Bundle:
    entries = manifest.read(folder / MANIFEST)
    quantized, agreement, fixed = entries.quantized, entries.agreement, entries.fixed_size
    return Bundle(
        name=folder.name,
        network=folder / entries.network,
        task=entries.task,
        head=entries.head,
        classes=entries.classes,
        stride=entries.stride,
        fixed_size=Size(fixed.width, fixed.height) if fixed else None,
        license=entries.license,
        source=entries.source,
        files=entries.files,
        precision=entries.precision,
        quantized=Quantized(**structs.asdict(quantized)) if quantized else None,
        agreement=Agreement(**structs.asdict(agreement)) if agreement else None,
        tools=entries.tools or {},
        keypoints=entries.keypoints,
        placing=cast(Placing, entries.placing),
        engines={name: BuiltFor(**structs.asdict(one)) for name, one in (entries.engines or {}).items()},
    )


def _from_ultralytics(folder: Path) -> Bundle:
    networks = sorted(folder.glob("*.xml"))
    if len(networks) != 1:
        raise ModelError(
            f"{folder} must contain exactly one .xml network, but contains {len(networks)}", "model_corrupt"
        )
    properties = metadata.read_yaml(folder / metadata.FILE)
    return from_metadata(folder.name, networks[0], properties, inspect(networks[0]))
