"""Engines that fit this box and no other: which file is taken, what is said of one that is not, how one is built."""

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
from tests.engines.nvidia.box import Jetson
from tests.engines.nvidia.environment import environment
from tests.engines.nvidia.tensorrt import VERSIONS, Plan

USUAL = (Size(96, 64), Size(64, 32))


def refused(jetson: Jetson, network: Path, **options: Any) -> NotBuilt:
    with pytest.raises(NotBuilt) as caught:
        jetson.engine(network, **options)
    assert caught.value.code == "engine_not_built"
    return caught.value


MISFITS: dict[str, tuple[dict[str, Any], str]] = {
    "another board": (
        {"gpu": "Xavier", "compute": "7.2", "multiprocessors": 6},
        r"was built for Xavier \(compute capability 7\.2, 6 multiprocessors\), and this is Orin \(.*8\.7, 8 ",
    ),
    "its smaller sister": ({"multiprocessors": 4}, r".*, 4 multiprocessors\), and this is Orin"),
    "an update": ({"tensorrt": "8.6.1"}, r"was built by TensorRT 8\.6\.1, and this box has 10\.3\.0"),
    "another network": ({"network": "0" * 64}, "was built from another ONNX file"),
    "another precision": ({"precision": "f16"}, "computes in f16, and f32 is asked for"),
    "other inputs": ({"sizes": ("96x64",)}, "was not built for inputs of 64x32"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_an_engine_that_does_not_fit_is_named_with_what_does_not(jetson: Jetson, network: Path, name: str) -> None:
    other, told = MISFITS[name]
    jetson.build(network, USUAL, says=other)
    error = refused(jetson, network, sizes=USUAL, cache=network.parent.parent)
    assert re.match(rf"TensorRT cannot run gate yet: model\.engine {told}", str(error))
    assert error.build is not None


@pytest.mark.parametrize("content", [b"", b"\x04\0\0\0null", b"\xff\xff\xff\xff{}", b"\x02\0\0\0{}engine", b"half"])
def test_a_file_of_somebody_else_is_passed_over(jetson: Jetson, network: Path, content: bytes) -> None:
    network.with_suffix(".engine").write_bytes(content)
    assert "model.engine does not say what it was built for" in str(refused(jetson, network))


def test_one_of_several_that_fits_is_taken(jetson: Jetson, network: Path) -> None:
    jetson.build(network, says={"tensorrt": "8.6.1"}).rename(network.parent / "a.engine")
    jetson.build(network).rename(network.parent / "b.engine")
    jetson.build(network, says={"gpu": "Thor"}).rename(network.parent / "c.engine")
    jetson.engine(network).close()


def test_an_engine_that_tensorrt_refuses_is_built_again(jetson: Jetson, network: Path, tmp_path: Path) -> None:
    told = jetson.built_for(network)
    engine_file.write(network.with_suffix(".engine"), told, b"not an engine")
    error = refused(jetson, network, cache=tmp_path)
    assert "model.engine is damaged (Magic tag does not match)" in str(error)
    assert error.build is not None


def test_without_a_place_to_keep_one_or_a_builder_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, jetson: Jetson, network: Path, tmp_path: Path
) -> None:
    error = refused(jetson, network)
    assert error.build is None
    assert "no engine was built for this box; and one that is built here has to be kept: set engine.cache" in str(error)
    error = refused(Jetson(monkeypatch, lean=True), network, cache=tmp_path)
    assert error.build is None
    assert "has no builder. Install all of it: python3-libnvinfer" in str(error)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_error_names_builds_an_engine_that_runs(
    monkeypatch: pytest.MonkeyPatch, network: Path, tmp_path: Path, version: str
) -> None:
    jetson, cache = Jetson(monkeypatch, version), tmp_path / "deep" / "compiled"
    precision = "f32" if version.startswith("11.") else "f16"
    error = refused(jetson, network, precision="", sizes=USUAL, cache=cache)
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


def test_a_build_that_fails_says_why_in_its_last_line(
    monkeypatch: pytest.MonkeyPatch, network: Path, tmp_path: Path
) -> None:
    network.write_bytes(b"no network")
    error = refused(Jetson(monkeypatch), network, cache=tmp_path)
    assert error.build is not None
    done = subprocess.run(
        error.build, capture_output=True, text=True, timeout=120, env=environment(tmp_path / "vendor", "10.3.0")
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("TensorRT cannot read model.onnx: In node -1")
    assert not [*tmp_path.glob("*.engine"), *tmp_path.glob("*.tries")]


def test_builds_that_end_with_the_whole_service_are_not_begun_for_ever(
    monkeypatch: pytest.MonkeyPatch, network: Path, tmp_path: Path
) -> None:
    """systemd kills the service and its build together where both need too much memory."""
    jetson, env = Jetson(monkeypatch), environment(tmp_path / "vendor", "10.3.0")
    with (tmp_path / "vendor" / "tensorrt.py").open("a") as module:
        module.write("import os\ntensorrt.Builder.create_network = lambda *_: os.kill(os.getpid(), 9)\n")
    for _ in range(3):
        error = refused(jetson, network, cache=tmp_path)
        assert error.build is not None
        begun = error.begun
        assert begun is not None
        assert subprocess.run(error.build, capture_output=True, timeout=120, env=env).returncode == -9
    error = refused(jetson, network, cache=tmp_path)
    assert error.build is None
    (noted,) = tmp_path.glob("*.tries")
    assert noted == begun
    assert f"ended 3 times with the whole service, perhaps for want of memory. Remove {noted} to try" in str(error)
    noted.unlink()
    assert refused(jetson, network, cache=tmp_path).build is not None


def test_half_precision_is_refused_where_the_network_decides(monkeypatch: pytest.MonkeyPatch, network: Path) -> None:
    with pytest.raises(EngineError, match=r"TensorRT 11\.4\.0\.106 computes in f32 here, and not in f16"):
        Jetson(monkeypatch, "11.4.0.106").engine(network, precision="f16")
    with pytest.raises(EngineError, match=r"computes in f16 or f32 here, and not in bf16: set engine\.precision"):
        Jetson(monkeypatch).engine(network, precision="bf16")


SIZE = st.tuples(st.integers(1, 40), st.integers(1, 40)).map(lambda pair: f"{32 * pair[0]}x{32 * pair[1]}")


@given(st.lists(SIZE, max_size=6, unique=True))
def test_every_size_has_a_profile_of_its_own_and_fits_into_the_one_for_all(sizes: list[str]) -> None:
    (least, best, most), *own = shapes(tuple(sizes))
    assert [f"{shape[3]}x{shape[2]}" for shape, _, _ in own] == (sizes or ["640x640"])
    for shape in (best, *(one for profile in own for one in profile)):
        assert all(low <= side <= high for low, side, high in zip(least, shape, most, strict=True))


BUILT_FOR = st.builds(
    BuiltFor, st.text(), st.text(), st.integers(), st.text(), st.text(), st.text(), st.lists(st.text()).map(tuple)
)


@settings(deadline=None)  # the disk decides
@given(built_for=BUILT_FOR, engine=st.binary())
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, built_for: BuiltFor, engine: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "one.engine"
    engine_file.write(path, built_for, engine)
    assert (engine_file.read_header(path), engine_file.read_engine(path)) == (built_for, engine)
    assert built_for.objection(built_for) is None
