"""A simulated Jetson in this process: NVIDIA's modules, and engines built for its GPU."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from appliance.engines import registry
from appliance.engines.tensorrt import build
from appliance.engines.tensorrt.engine import TensorRTEngine
from appliance.models import engine_file
from appliance.models.engine_file import BuiltFor
from appliance.values import Size
from tests.engines.nvidia.gpu import Gpu, runtime_module
from tests.engines.nvidia.tensorrt import NAMES, tensorrt_module

CUDA = NAMES["cuda-13.5.0"]


class Jetson:
    """Installs the stand-in modules. `lean`: TensorRT without its builder."""

    def __init__(
        self, patch: pytest.MonkeyPatch, version: str = "10.3.0", gpu: Gpu | None = None, *, lean: bool = False
    ) -> None:
        self.gpu = gpu or Gpu()
        self.tensorrt: Any = tensorrt_module(version, self.gpu, lean=lean)
        patch.setitem(sys.modules, "tensorrt", self.tensorrt)
        install_cuda(patch, self.gpu)

    def built_for(self, network: Path, sizes: Sequence[Size] = (), precision: str = "f32") -> BuiltFor:
        major, minor = self.gpu.compute
        digest = hashlib.sha256(network.read_bytes()).hexdigest()
        shown = tuple(f"{size.width}x{size.height}" for size in sizes)
        return BuiltFor(self.gpu.name, f"{major}.{minor}", self.gpu.multiprocessors, self.tensorrt.__version__,
                        precision, digest, shown)  # fmt: skip

    def build(
        self, network: Path, sizes: Sequence[Size] = (), precision: str = "f32", says: dict[str, Any] | None = None
    ) -> Path:
        """Build an engine next to the network. `says`: header fields to falsify."""
        built_for = self.built_for(network, sizes, precision)
        path = network.with_suffix(engine_file.SUFFIX)
        engine_file.write(path, replace(built_for, **says or {}), build.build(self.tensorrt, network, built_for))
        return path

    def engine(self, network: Path, precision: str = "f32", **options: Any) -> TensorRTEngine:
        made = registry.create("tensorrt", network, precision=precision, **options)
        assert isinstance(made, TensorRTEngine)
        return made


def install_cuda(patch: pytest.MonkeyPatch, gpu: Gpu | None) -> None:
    """Make `from cuda.bindings import runtime` return the stand-in; `gpu` None: a machine without a GPU."""
    package, bindings = ModuleType("cuda"), ModuleType("cuda.bindings")
    bindings.runtime = runtime_module(gpu, CUDA["constants"])  # type: ignore[attr-defined]
    patch.setitem(sys.modules, "cuda", package)
    patch.setitem(sys.modules, "cuda.bindings", bindings)
