"""Engines by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from appliance.errors import EngineError
from appliance.ports import Engine


def create(kind: str, network: Path, **options: Any) -> Engine:
    """The engine called `kind` with this network. Raises EngineError when there is none, or it cannot run here."""
    if kind == "openvino":
        from appliance.engines.openvino import OpenVINOEngine

        return OpenVINOEngine(network, **options)
    raise EngineError(f"there is no engine '{kind}'; known: openvino")
