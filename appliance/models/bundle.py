"""A model bundle: a folder with a network, and what one must know to read its output.

Ours holds `model.xml`, `model.bin` and `manifest.json` with the sha256 of each file. A folder that Ultralytics'
`yolo export format=openvino` wrote is taken as it is: its `metadata.yaml` is read instead.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from msgspec import structs

from appliance.errors import ModelError
from appliance.files import open_plain
from appliance.models import engine_file, manifest, metadata
from appliance.models.engine_file import BuiltFor
from appliance.models.manifest import SCHEMA
from appliance.models.metadata import Metadata
from appliance.models.network import Opened, inspect
from appliance.values import Size
from appliance.vision.heads import Reader, head_of
from appliance.vision.letterbox import Letterbox, Placing, fit, input_size

MANIFEST = manifest.FILE
MOST_BYTES = 2_000_000_000
"""All files of a bundle together; a nano model has 6 to 25 MB."""


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

    Raises ModelError whatever is wrong with it: model_missing, model_corrupt, model_unsupported.
    """
    try:
        if not folder.is_dir():
            raise ModelError(f"there is no model at {folder}", "model_missing")
        _check_plain(folder)
        if (folder / MANIFEST).exists():
            bundle = _from_manifest(folder)
            verify(bundle)
            return bundle
        if (folder / metadata.FILE).exists():
            return _from_ultralytics(folder)
    except ModelError:
        raise
    except OSError as error:  # a worn card, say
        raise ModelError(f"{error.filename or folder} cannot be read: {error.strerror}", "model_corrupt") from None
    except Exception as error:
        raise ModelError(f"{folder} cannot be read: {type(error).__name__}: {error}", "model_corrupt") from error
    raise ModelError(f"{folder} has neither {MANIFEST} nor Ultralytics' {metadata.FILE}", "model_corrupt")


def verify(bundle: Bundle) -> None:
    """Hold each file against the manifest. Raises ModelError model_corrupt, and OSError."""
    left = MOST_BYTES
    for name, expected in bundle.files.items():
        path = bundle.network.parent / name
        if not path.exists():
            raise ModelError(f"{path} is missing", "model_corrupt")
        if (left := left - path.stat().st_size) < 0:
            raise ModelError(f"{path.parent} holds more than {MOST_BYTES / 1e9:.0f} GB", "model_corrupt")
        if sha256(path) != expected:
            raise ModelError(f"{path} is damaged (wrong sha256)", "model_corrupt")


def _check_plain(folder: Path) -> None:
    """Nothing in it is a pipe or a device: who opens one may wait for ever."""
    for path in folder.iterdir():
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise ModelError(f"{path} is neither a file nor a folder; delete it", "model_corrupt")


def write_manifest(bundle: Bundle) -> None:
    """Put the manifest beside the network; `files` is taken from what lies there."""
    folder = bundle.network.parent
    known = {key: value for key, value in asdict(bundle).items() if key not in ("network", "files")}
    files = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST}
    headers = {path.name: engine_file.read_header(path) for path in sorted(folder.glob(f"*{engine_file.SUFFIX}"))}
    engines = {name: asdict(header) for name, header in headers.items() if header is not None}
    told = {"schema": SCHEMA, **known, "network": bundle.network.name, "engines": engines, "files": files}
    (folder / MANIFEST).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def from_metadata(name: str, network: Path, told: Mapping[Any, Any], opened: Opened) -> Bundle:
    """A bundle from Ultralytics' own metadata (ONNX properties or metadata.yaml) and the network's shapes.

    Raises ModelError: model_corrupt, model_unsupported when the task or the head is none of ours.
    """
    said = metadata.understood(network, told)
    output = opened.outputs[0] if opened.outputs else ()
    head = head_of(output, len(said.classes), said.end_to_end or None, _extra(network, said, opened))
    if head is None:
        raise ModelError(f"{network} gives an output {output} that no head of ours reads", "model_unsupported")
    return Bundle(
        name, network, said.task, head, said.classes, said.stride, opened.fixed_size, said.license, "", {},
        keypoints=said.keypoints,
    )  # fmt: skip


def _extra(network: Path, said: Metadata, opened: Opened) -> int | None:
    """How many numbers come with each box; None: unknown."""
    if said.task == "segment":
        prototypes = opened.outputs[1] if len(opened.outputs) == 2 else ()
        if len(prototypes) != 3:
            raise ModelError(
                f"{network} is a model for masks, and has no output of their prototypes; export it again with "
                "Ultralytics 8.0 or later",
                "model_unsupported",
            )
        return prototypes[0]
    if said.keypoints is not None:
        return said.keypoints[0] * said.keypoints[1]
    return 1 if said.task == "obb" else 0


def sha256(path: Path) -> str:
    """Hex digest of a regular file."""
    with open_plain(path) as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _from_manifest(folder: Path) -> Bundle:
    said = manifest.read(folder / MANIFEST)
    quantized, agreement, fixed = said.quantized, said.agreement, said.fixed_size
    return Bundle(
        name=folder.name,
        network=folder / said.network,
        task=said.task,
        head=said.head,
        classes=said.classes,
        stride=said.stride,
        fixed_size=Size(fixed.width, fixed.height) if fixed else None,
        license=said.license,
        source=said.source,
        files=said.files,
        precision=said.precision,
        quantized=Quantized(**structs.asdict(quantized)) if quantized else None,
        agreement=Agreement(**structs.asdict(agreement)) if agreement else None,
        tools=said.tools or {},
        keypoints=said.keypoints,
        placing=cast(Placing, said.placing),
        engines={name: BuiltFor(**structs.asdict(one)) for name, one in (said.engines or {}).items()},
    )


def _from_ultralytics(folder: Path) -> Bundle:
    networks = sorted(folder.glob("*.xml"))
    if len(networks) != 1:
        raise ModelError(f"{folder} should hold one .xml network, and holds {len(networks)}", "model_corrupt")
    told = metadata.read_yaml(folder / metadata.FILE)
    return from_metadata(folder.name, networks[0], told, inspect(networks[0]))
