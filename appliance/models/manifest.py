"""The schema of a bundle's `manifest.json`: types and bounds.

Rules of this file:
- A manifest is untrusted input. The type and range of every entry are checked before it is used.
- Files have plain names and are inside the bundle's own folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from appliance import files
from appliance.errors import ModelError
from appliance.models.names import check_classes, has_control, is_plain
from appliance.vision.heads import HEADS, TASKS
from appliance.vision.letterbox import PLACINGS

FILE = "manifest.json"
SCHEMA = 1
MOST_BYTES = 4_000_000
MOST_FILES = 100
MOST_SIDE = 8192
"""Longest side of an input, px."""
MOST_STRIDE = 1024

Text = Annotated[str, msgspec.Meta(max_length=1000)]
Side = Annotated[int, msgspec.Meta(ge=1, le=MOST_SIDE)]
Sha256 = Annotated[str, msgspec.Meta(min_length=64, max_length=64)]
Points = Annotated[float, msgspec.Meta(ge=-100, le=100)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]


class InputSize(msgspec.Struct):
    """The only supported input size, px."""

    width: Side
    height: Side


class QuantizedEntry(msgspec.Struct):
    """See `bundle.Quantized`."""

    made_from: Text
    measure: Text
    points_before: Points
    points_after: Points
    judged_by: Count
    calibrated_by: Count
    floating: tuple[Text, ...]


class AgreementEntry(msgspec.Struct):
    """See `bundle.Agreement`."""

    original: Text
    points: Points
    pictures: Count


class BuiltForEntry(msgspec.Struct):
    """See `engine_file.BuiltFor`."""

    gpu: Text
    compute: Text
    multiprocessors: Count
    tensorrt: Text
    precision: Text
    network: Text
    sizes: tuple[Text, ...]


class Manifest(msgspec.Struct):
    """A manifest with valid types and ranges. Unknown keys are ignored: a newer version may have written them."""

    task: Text
    head: Text
    network: Text
    classes: tuple[str, ...]
    stride: Annotated[int, msgspec.Meta(ge=1, le=MOST_STRIDE)]
    fixed_size: InputSize | None
    license: Text
    source: Text
    files: Annotated[dict[str, Sha256], msgspec.Meta(max_length=MOST_FILES)]
    precision: Text = ""
    quantized: QuantizedEntry | None = None
    agreement: AgreementEntry | None = None
    tools: dict[Text, Text] | None = None
    keypoints: tuple[Annotated[int, msgspec.Meta(ge=1, le=1000)], Literal[2, 3]] | None = None
    placing: Text = "centre"
    engines: dict[str, BuiltForEntry] | None = None


class _Version(msgspec.Struct):
    schema: Any


def read(path: Path) -> Manifest:
    """Read and check a manifest. Raises ModelError model_corrupt or model_unsupported, and OSError."""
    data = files.read_plain(path, MOST_BYTES)
    try:
        if (schema := msgspec.json.decode(data, type=_Version).schema) != SCHEMA:
            raise ModelError(
                f"{path} has schema {str(schema)[:20]!r}; this version supports {SCHEMA}", "model_unsupported"
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except RecursionError:
        raise ModelError(f"{path} is damaged (nested too deeply)", "model_corrupt") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise ModelError(f"{path} is damaged ({error})", "model_corrupt") from None
    _check_known(manifest, path)
    _check_files(manifest, path)
    _check_texts(manifest, path)
    return manifest


def _check_known(manifest: Manifest, path: Path) -> None:
    for what, named, known in (
        ("head", manifest.head, tuple(HEADS)),
        ("task", manifest.task, TASKS),
        ("placing", manifest.placing, PLACINGS),
    ):
        if named not in known:
            raise ModelError(
                f"{path}: unknown {what} {named[:60]!r}; supported: {', '.join(known)}", "model_unsupported"
            )
    if manifest.task == "pose" and manifest.keypoints is None:
        raise ModelError(f"{path} is damaged (a pose model without `keypoints`)", "model_corrupt")


def _check_files(manifest: Manifest, path: Path) -> None:
    for name in (manifest.network, *manifest.files, *(manifest.engines or ())):
        if not is_plain(name) or name == FILE:
            raise ModelError(
                f"{path} names the file {name[:200]!r}, which is outside its own folder. Ask the author of the model "
                "for a valid copy",
                "model_corrupt",
            )
    if manifest.network not in manifest.files:
        raise ModelError(f"{path} is damaged (`files` does not list its network {manifest.network!r})", "model_corrupt")


def _check_texts(manifest: Manifest, path: Path) -> None:
    if (why := check_classes(manifest.classes)) is not None:
        raise ModelError(f"{path} is damaged ({why})", "model_corrupt")
    tools = manifest.tools or {}
    for text in (manifest.license, manifest.source, manifest.precision, *tools, *tools.values()):
        if has_control(text):
            raise ModelError(f"{path} is damaged (control characters in {text[:60]!r})", "model_corrupt")
