"""Bundles for tests, made of the network that finds colours."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from appliance.models import bundle as bundles
from appliance.workshop import onnx_bundle
from tests.models import networks


def make_bundles(models_dir: Path, *names: str, onnx: bytes | None = None, keep_onnx: bool = False) -> Path:
    """Write a bundle for each name and return the folder; `onnx`: another network than that of the colours."""
    models_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source.onnx")
        source.write_bytes(networks.colours() if onnx is None else onnx)
        for name in names:
            onnx_bundle.build(source, models_dir / name, "a test", keep_onnx=keep_onnx)
    return models_dir


def export_folder(folder: Path, onnx: bytes | None = None, **metadata: object) -> Path:
    """Write what `yolo export format=openvino dynamic=True` writes, and return the folder."""
    folder.mkdir()
    networks.save_ir(networks.colours() if onnx is None else onnx, folder / "best.xml")
    (folder / "metadata.yaml").write_text(networks.metadata_yaml(networks.CLASSES, **metadata), encoding="utf-8")
    return folder


def edit_manifest(folder: Path, without: str = "", **entries: object) -> None:
    """Replace entries of a bundle's manifest, or remove one."""
    path = folder / bundles.MANIFEST
    manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) | entries
    manifest.pop(without, None)
    path.write_text(json.dumps(manifest), encoding="utf-8")
