"""Every name and parameter of TensorRT and CUDA that we use, held against NVIDIA's own bindings (`make nvidia`)."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from tests.engines.nvidia import install
from tests.engines.nvidia.gpu import Gpu, Runtime, runtime_module
from tests.engines.nvidia.tensorrt import CLASSES, NAMES, VERSIONS

CUDAS = [name for name in NAMES if name.startswith("cuda-")]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_recorded_is_what_nvidias_bindings_say(name: str) -> None:
    if not (install.FOLDER / name).is_dir():
        pytest.skip(f"NOT TESTED: {name} is not installed; `make nvidia` brings it where it runs with this Python")
    assert install.offered(name) == NAMES[name]


def test_every_version_is_recorded() -> None:
    assert set(NAMES) == set(install.PACKAGES)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", CLASSES)
def test_the_stand_in_has_what_tensorrt_has_and_nothing_else(name: str, version: str) -> None:
    told: dict[str, Any] = NAMES[f"tensorrt-{version}"]["classes"][name]
    ours = {
        member: kind for member, kind in vars(CLASSES[name]).items() if member in told or not member.startswith("_")
    }
    assert ours.keys() <= told.keys()
    for member, kind in ours.items():
        if inspect.isfunction(kind):
            taken = [one for one in inspect.signature(kind).parameters if one not in ("self", "world")]
            assert any(call[: len(taken)] == taken for call in told[member]), (member, taken)
        else:
            assert told[member] == "value", member


@pytest.mark.parametrize("name", CUDAS)
def test_the_stand_in_has_what_cuda_has_and_nothing_else(name: str) -> None:
    module, told = runtime_module(Gpu(), NAMES[name]["constants"]), NAMES[name]
    functions = {one for one in dir(Runtime) if one.startswith("cuda")}
    assert functions == set(told["functions"])
    for function in functions:
        assert [[*inspect.signature(getattr(module, function)).parameters]] == told["functions"][function], function
    assert {one.name: int(one) for one in module.cudaMemcpyKind} == told["kinds"]
    properties = module.cudaGetDeviceProperties(0)[1]
    assert set(vars(properties)) == set(told["properties"])
