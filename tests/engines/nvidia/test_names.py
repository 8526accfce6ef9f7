"""The stand-in has the names and parameters of NVIDIA's bindings (`make nvidia` installs them)."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from tests.engines.nvidia import install
from tests.engines.nvidia.gpu import Gpu, Runtime, runtime_module
from tests.engines.nvidia.tensorrt import CLASSES, NAMES, VERSIONS

CUDAS = [name for name in NAMES if name.startswith("cuda-")]


@pytest.mark.parametrize("name", NAMES)
def test_the_recorded_names_are_those_of_nvidias_bindings(name: str) -> None:
    if not (install.FOLDER / name).is_dir():
        pytest.skip(
            f"NOT TESTED: {name} is not installed; run `make nvidia` (not every version is available for this Python)"
        )
    assert install.exported(name) == NAMES[name]


def test_every_version_is_recorded() -> None:
    assert set(NAMES) == set(install.PACKAGES)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", CLASSES)
def test_the_stand_in_has_no_name_that_tensorrt_lacks(name: str, version: str) -> None:
    real: dict[str, Any] = NAMES[f"tensorrt-{version}"]["classes"][name]
    ours = {
        member: kind for member, kind in vars(CLASSES[name]).items() if member in real or not member.startswith("_")
    }
    assert ours.keys() <= real.keys()
    for member, kind in ours.items():
        if inspect.isfunction(kind):
            parameters = [name for name in inspect.signature(kind).parameters if name not in ("self", "world")]
            assert any(call[: len(parameters)] == parameters for call in real[member]), (member, parameters)
        else:
            assert real[member] == "value", member


@pytest.mark.parametrize("name", CUDAS)
def test_the_stand_in_has_exactly_the_recorded_cuda_names(name: str) -> None:
    module, real = runtime_module(Gpu(), NAMES[name]["constants"]), NAMES[name]
    functions = {one for one in dir(Runtime) if one.startswith("cuda")}
    assert functions == set(real["functions"])
    for function in functions:
        assert [[*inspect.signature(getattr(module, function)).parameters]] == real["functions"][function], function
    assert {one.name: int(one) for one in module.cudaMemcpyKind} == real["kinds"]
    properties = module.cudaGetDeviceProperties(0)[1]
    assert set(vars(properties)) == set(real["properties"])
