"""Engines by name: the included ones, and those that other packages register.

A package registers an engine with an entry point in the group `appliance.engines`; docs/engines.md shows how. The
included engines are listed here, so that a device that uses one of them reads no package metadata at start-up.
"""

from __future__ import annotations

from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Protocol

from appliance.errors import EngineError, did_you_mean
from appliance.ports import Engine

GROUP = "appliance.engines"
_INCLUDED = {
    "openvino": "appliance.engines.openvino:OpenVINOEngine",
    "onnxruntime": "appliance.engines.onnxruntime:OnnxRuntimeEngine",
    "mnn": "appliance.engines.mnn.engine:MnnEngine",
    "kserve": "appliance.engines.kserve.engine:KserveEngine",
    "tensorrt": "appliance.engines.tensorrt.engine:TensorRTEngine",
}


class Kind(Protocol):
    """A kind of engine: what an entry point refers to, usually a class."""

    reads: tuple[str, ...]
    """Suffixes of the network files it can open, preferred one first."""
    built_ahead: bool
    """Whether an engine is built for a largest input size before it runs, so that a larger one needs a new build."""

    def __call__(self, network: Path, **options: Any) -> Engine:
        """Create an engine that runs this network.

        `options` are keywords from EngineSettings: device, precision, threads, hint, cache (a folder), sizes (the
        usual input sizes, largest first), and those of an inference server. An engine ignores the options it has no
        use for.

        Raises EngineError: engine_device_missing, or engine_failed when the network cannot be loaded; NotBuilt when an
        engine has to be built for this device first.
        """


def names() -> list[str]:
    """Names of all registered engines, the included ones first. Whether one can run is only known after `create`."""
    return [*_INCLUDED, *sorted({point.name for point in metadata.entry_points(group=GROUP)} - set(_INCLUDED))]


def find(name: str) -> Kind:
    """The kind of engine called `name`. Raises EngineError when it is unknown or its package cannot be imported."""
    try:
        if name in _INCLUDED:
            module, _, attribute = _INCLUDED[name].partition(":")
            kind: Kind = getattr(import_module(module), attribute)
            return kind
        for point in metadata.entry_points(group=GROUP, name=name):
            loaded: Kind = point.load()
            return loaded
    except (ImportError, AttributeError) as error:
        raise EngineError(f"engine '{name}' cannot be loaded: {error}") from None
    known = names()
    raise EngineError(f"unknown engine '{name}'; known: {', '.join(known)}{did_you_mean(name, known)}")


def is_built_ahead(name: str) -> bool:
    """Whether engines of this kind are built for a largest input size.

    False for a kind that cannot be loaded, or an engine of another package that does not define it.
    """
    try:
        return find(name).built_ahead
    except (EngineError, AttributeError):
        return False


def create(name: str, network: Path, **options: Any) -> Engine:
    """Create the engine called `name` for this network. Raises EngineError when it is unknown or cannot run here."""
    return find(name)(network, **options)
