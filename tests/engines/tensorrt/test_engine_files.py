"""Which engine file is selected, why another one is rejected, and how a missing one is built."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.engines.tensorrt.build import shapes
from appliance.errors import EngineError, NotBuilt
from appliance.models import engine_file
from appliance.models.engine_file import BuiltFor
from appliance.testing.colours import expected
from appliance.testing.engines import kept, noise
from appliance.values import Size
from tests.engines.nvidia.environment import environment
from tests.engines.nvidia.jetson import Jetson
from tests.engines.nvidia.tensorrt import VERSIONS, Plan

USUAL = (Size(96, 64), Size(64, 32))


def refusal(jetson: Jetson, network: Path, **options: Any) -> NotBuilt:
    with pytest.raises(NotBuilt) as caught:
        jetson.engine(network, **options)
    assert caught.value.code == "engine_not_built"
    return caught.value


MISFITS: dict[str, tuple[dict[str, Any], str]] = {
    "another board": (
        {"gpu": "Xavier", "compute": "7.2", "multiprocessors": 6},
        r"was built for Xavier \(compute capability 7\.2, 6 multiprocessors\), but this device has Orin \(.*8\.7, 8 ",
    ),
    "a smaller board of the same family": (
        {"multiprocessors": 4},
        r".*, 4 multiprocessors\), but this device has Orin",
    ),
    "an update": ({"tensorrt": "8.6.1"}, r"was built by TensorRT 8\.6\.1, but this device has 10\.3\.0"),
    "another network": ({"network": "0" * 64}, "was built from another ONNX file"),
    "another precision": ({"precision": "f16"}, "computes in f16, but f32 is configured"),
    "other inputs": ({"sizes": ("96x64",)}, "was not built for the input size 64x32"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_an_engine_that_does_not_fit_is_rejected_with_the_reason(jetson: Jetson, network: Path, name: str) -> None:
    other, reason = MISFITS[name]
    jetson.build(network, USUAL, says=other)
    error = refusal(jetson, network, sizes=USUAL, cache=network.parent.parent)
    assert re.match(rf"TensorRT cannot run gate yet: model\.engine {reason}", str(error))
    assert error.build is not None


@pytest.mark.parametrize("content", [b"", b"\x04\0\0\0null", b"\xff\xff\xff\xff{}", b"\x02\0\0\0{}engine", b"half"])
def test_a_file_of_another_program_is_ignored(jetson: Jetson, network: Path, content: bytes) -> None:
    network.with_suffix(".engine").write_bytes(content)
    assert "model.engine has no readable header" in str(refusal(jetson, network))


def test_the_one_file_that_fits_is_selected(jetson: Jetson, network: Path) -> None:
    jetson.build(network, says={"tensorrt": "8.6.1"}).rename(network.parent / "a.engine")
    jetson.build(network).rename(network.parent / "b.engine")
    jetson.build(network, says={"gpu": "Thor"}).rename(network.parent / "c.engine")
    engine = jetson.engine(network)
    assert engine.name == "tensorrt"
    engine.close()


def test_an_engine_that_tensorrt_rejects_is_built_again(jetson: Jetson, network: Path, tmp_path: Path) -> None:
    engine_file.write(network.with_suffix(".engine"), jetson.built_for(network), b"not an engine")
    error = refusal(jetson, network, cache=tmp_path)
    assert "model.engine is damaged (Magic tag does not match)" in str(error)
    assert error.build is not None


def test_without_a_cache_or_a_builder_the_error_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, jetson: Jetson, network: Path, tmp_path: Path
) -> None:
    error = refusal(jetson, network)
    assert error.build is None
    assert "no engine was built for this device. Set engine.cache = true to build one" in str(error)
    error = refusal(Jetson(monkeypatch, lean=True), network, cache=tmp_path)
    assert error.build is None
    assert "has no builder; install python3-libnvinfer" in str(error)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_command_in_the_error_builds_an_engine_that_runs(
    monkeypatch: pytest.MonkeyPatch, network: Path, tmp_path: Path, version: str
) -> None:
    jetson, cache = Jetson(monkeypatch, version), tmp_path / "deep" / "compiled"
    precision = "f32" if version.startswith("11.") else "f16"
    error = refusal(jetson, network, precision="", sizes=USUAL, cache=cache)
    assert error.build is not None
    subprocess.run(error.build, check=True, timeout=120, env=environment(tmp_path / "vendor", version))
    engine = jetson.engine(network, precision="", sizes=USUAL, cache=cache)
    tensor = noise(USUAL[0], 1)
    assert (engine.infer(tensor, kept) - expected(tensor)).max() < 1e-3
    assert engine.precision == precision
    engine.close()
    (file,) = cache.iterdir()
    plan = Plan.read(engine_file.read_engine(file))
    assert plan is not None
    assert plan.flags == (["FP16"] if precision == "f16" else [])
    assert plan.profiles[0] == [[1, 3, 32, 32], [1, 3, 64, 96], [1, 3, 96, 96]]
    assert plan.profiles[1:] == [[[1, 3, 64, 96]] * 3, [[1, 3, 32, 64]] * 3]


def test_a_failed_build_prints_the_reason_as_its_last_line(
    monkeypatch: pytest.MonkeyPatch, network: Path, tmp_path: Path
) -> None:
    network.write_bytes(b"no network")
    error = refusal(Jetson(monkeypatch), network, cache=tmp_path)
    assert error.build is not None
    done = subprocess.run(
        error.build, capture_output=True, text=True, timeout=120, env=environment(tmp_path / "vendor", "10.3.0")
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("TensorRT cannot read model.onnx: In node -1")
    assert not [*tmp_path.glob("*.engine"), *tmp_path.glob("*.tries")]


def test_a_build_that_stops_the_whole_service_is_tried_three_times(
    monkeypatch: pytest.MonkeyPatch, network: Path, tmp_path: Path
) -> None:
    """systemd kills the service together with its build when both exceed the memory limit."""
    jetson, env = Jetson(monkeypatch), environment(tmp_path / "vendor", "10.3.0")
    with (tmp_path / "vendor" / "tensorrt.py").open("a") as module:
        module.write("import os\ntensorrt.Builder.create_network = lambda *_: os.kill(os.getpid(), 9)\n")
    for _ in range(3):
        error = refusal(jetson, network, cache=tmp_path)
        assert error.build is not None
        marker = error.marker
        assert marker is not None
        assert subprocess.run(error.build, capture_output=True, timeout=120, env=env).returncode == -9
    error = refusal(jetson, network, cache=tmp_path)
    assert error.build is None
    (tries_file,) = tmp_path.glob("*.tries")
    assert tries_file == marker
    assert "stopped the whole service 3 times, possibly because memory ran out" in str(error)
    assert f"Remove {tries_file} to try again" in str(error)
    tries_file.unlink()
    assert refusal(jetson, network, cache=tmp_path).build is not None


def test_a_precision_the_version_does_not_support_is_rejected(monkeypatch: pytest.MonkeyPatch, network: Path) -> None:
    with pytest.raises(EngineError, match=r"TensorRT 11\.4\.0\.106 runs in f32 only, not f16"):
        Jetson(monkeypatch, "11.4.0.106").engine(network, precision="f16")
    with pytest.raises(EngineError, match=r"runs in f16 or f32, not bf16; set engine\.precision"):
        Jetson(monkeypatch).engine(network, precision="bf16")


SIZE = st.tuples(st.integers(1, 40), st.integers(1, 40)).map(lambda pair: f"{32 * pair[0]}x{32 * pair[1]}")


@given(st.lists(SIZE, max_size=6, unique=True))
def test_every_size_has_its_own_profile_and_fits_the_profile_for_any_size(sizes: list[str]) -> None:
    (smallest, best, largest), *own = shapes(tuple(sizes))
    assert [f"{shape[3]}x{shape[2]}" for shape, _, _ in own] == (sizes or ["640x640"])
    for shape in (best, *(one for profile in own for one in profile)):
        assert all(low <= side <= high for low, side, high in zip(smallest, shape, largest, strict=True))


BUILT_FOR = st.builds(
    BuiltFor,
    st.text(),
    st.text(),
    st.integers(0, 1000),
    st.text(),
    st.text(),
    st.text(),
    st.lists(st.text()).map(tuple),
)


@settings(deadline=None)  # disk speed varies
@given(built_for=BUILT_FOR, engine=st.binary())
def test_an_engine_file_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, built_for: BuiltFor, engine: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "one.engine"
    engine_file.write(path, built_for, engine)
    assert (engine_file.read_header(path), engine_file.read_engine(path)) == (built_for, engine)
    assert built_for.objection(built_for) is None
