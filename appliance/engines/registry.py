"""Engines by name: ours, and those that other packages bring.

A package brings one by an entry point of the group `appliance.engines`, as docs/engines.md shows. Ours are named here,
so that a box that uses them reads no package's metadata at its start.
"""

from __future__ import annotations

from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Protocol

from appliance.errors import EngineError, did_you_mean
from appliance.ports import Engine

GROUP = "appliance.engines"
_OURS = {
    "openvino": "appliance.engines.openvino:OpenVINOEngine",
    "onnxruntime": "appliance.engines.onnxruntime:OnnxRuntimeEngine",
    "tensorrt": "appliance.engines.tensorrt.engine:TensorRTEngine",
}


class Kind(Protocol):
    """What an entry point names: usually a class."""

    reads: tuple[str, ...]
    """Suffixes of the network files that it opens, the best first."""

    def __call__(self, network: Path, **options: Any) -> Engine:
        """An engine with this network. `options`: those of EngineSettings that are asked for, as keywords: device,
        precision, threads, hint, cache (a folder), and sizes (inputs that will be usual, the largest first); an engine
        takes what it has no use for and ignores it.

        Raises EngineError: engine_device_missing, or engine_failed when the network cannot be loaded; NotBuilt where it
        has to be built for this box first.
        """


def names() -> list[str]:
    """Every engine that is known here, ours first; whether one runs is known when it is created."""
    return [*_OURS, *sorted({point.name for point in metadata.entry_points(group=GROUP)} - set(_OURS))]


def find(name: str) -> Kind:
    """The kind of engine called `name`. Raises EngineError when there is none, or its package does not load."""
    try:
        if name in _OURS:
            module, _, attribute = _OURS[name].partition(":")
            kind: Kind = getattr(import_module(module), attribute)
            return kind
        for point in metadata.entry_points(group=GROUP, name=name):
            loaded: Kind = point.load()
            return loaded
    except (ImportError, AttributeError) as error:
        raise EngineError(f"the engine '{name}' cannot be loaded: {error}") from None
    known = names()
    raise EngineError(f"there is no engine '{name}'; known: {', '.join(known)}{did_you_mean(name, known)}")


def create(name: str, network: Path, **options: Any) -> Engine:
    """The engine called `name` with this network. Raises EngineError when there is none, or it cannot run here."""
    return find(name)(network, **options)
