"""OpenVINO replaces a configured engine that cannot be used, so that the device still detects."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from appliance.device.sensors import memory
from appliance.device.sensors.group import GroupReading
from appliance.engines.openvino import OpenVINOEngine
from appliance.errors import EngineError, ModelError, NotBuilt
from appliance.readings import Memory
from appliance.service import loading
from appliance.settings import loader
from appliance.settings.schema import Settings
from tests.conftest import Serve
from tests.engines.nvidia.jetson import Jetson, install_cuda
from tests.models.bundles import make_bundles


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """`gate`, which every engine can read, and `yard`, which only OpenVINO can."""
    make_bundles(tmp_path / "models", "gate", keep_onnx=True)
    return make_bundles(tmp_path / "models", "yard")


def flags(models: Path, name: str, kind: str, device: str = "CPU") -> dict[str, str]:
    return {"model.dir": str(models), "model.name": name, "engine.kind": kind, "engine.device": device}


def settings(models: Path, name: str, kind: str, device: str = "CPU") -> Settings:
    return loader.load(flags=flags(models, name, kind, device))


def without_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after an update of the system's Python. None marks a module that cannot be imported."""
    monkeypatch.setitem(sys.modules, "tensorrt", None)


def without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    Jetson(monkeypatch)
    install_cuda(monkeypatch, None)


def test_without_the_tensorrt_package_openvino_is_used(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_tensorrt(monkeypatch)
    network = loading.load_to_serve(settings(models, "gate", "tensorrt", "GPU"))
    assert (network.info.engine, network.info.device) == ("openvino", "CPU")
    assert str(network.lacks).startswith("TensorRT cannot be loaded")
    assert network.build is None


def test_without_a_driver_openvino_is_used(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_a_driver(monkeypatch)
    network = loading.load_to_serve(settings(models, "gate", "tensorrt"))
    assert network.info.engine == "openvino"
    assert isinstance(network.lacks, EngineError)
    assert network.lacks.code == "engine_device_missing"


@pytest.mark.parametrize(("kind", "files"), [("onnxruntime", ".onnx"), ("mnn", ".mnn or .onnx"), ("tensorrt", ".onnx")])
def test_for_a_model_without_an_onnx_file_openvino_is_used(models: Path, kind: str, files: str) -> None:
    network = loading.load_to_serve(settings(models, "yard", kind))
    assert network.info.engine == "openvino"
    assert f"yard has no {files} file" in str(network.lacks)


def test_the_failed_engine_is_not_kept_in_memory(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_a_driver(monkeypatch)
    network = loading.load_to_serve(settings(models, "gate", "tensorrt"))
    assert network.lacks is not None
    assert network.lacks.__traceback__ is None


def test_a_working_engine_is_used(models: Path) -> None:
    network = loading.load_to_serve(settings(models, "gate", "onnxruntime"))
    assert (network.info.engine, network.lacks) == ("onnxruntime", None)


@pytest.mark.parametrize(
    ("total", "changes", "kept"),
    [
        (1e9, {}, False),
        (4e9, {}, True),
        (1e9, {"engine.any_size": "on"}, True),
        (4e9, {"engine.any_size": "off"}, False),
        (1e9, {"flow.crops": "auto"}, True),
        (1e9, {"engine.kind": "onnxruntime"}, True),
    ],
)
def test_a_board_with_1_gb_keeps_one_network(
    models: Path, monkeypatch: pytest.MonkeyPatch, total: float, changes: dict[str, str], kept: bool
) -> None:
    monkeypatch.setattr(memory, "read", lambda *_: GroupReading(Memory(total_bytes=int(total)), {}))
    network = loading.load_network(loader.load(flags={"model.dir": str(models), "model.name": "gate"} | changes))
    assert network.sizes.any_size == kept
    assert network.engine.slots == 1 or kept  # without it, all cores run each frame


def test_an_engine_that_can_be_built_is_distinguished(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Jetson(monkeypatch)
    network = loading.load_to_serve(settings(models, "gate", "tensorrt"))
    assert isinstance(network.lacks, NotBuilt)
    assert network.build is not None


def test_an_engine_that_cannot_be_prepared_is_closed(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []

    def fail(*_: object) -> bool:
        raise EngineError("no memory")

    monkeypatch.setattr(OpenVINOEngine, "prepare", fail)
    monkeypatch.setattr(OpenVINOEngine, "close", lambda _: closed.append(True))
    with pytest.raises(EngineError, match="no memory"):
        loading.load_network(settings(models, "gate", "openvino"))
    assert closed == [True]


def test_openvino_itself_is_not_replaced(models: Path) -> None:
    with pytest.raises(EngineError, match="GPU"):
        loading.load_to_serve(settings(models, "gate", "openvino", "GPU.7"))


@pytest.mark.parametrize("kind", ["openvino", "tensorrt"])
def test_a_damaged_model_is_an_error_with_any_engine(models: Path, kind: str) -> None:
    (models / "gate" / "model.bin").write_bytes(b"damage")
    with pytest.raises(ModelError, match=r"model\.bin is damaged"):
        loading.load_to_serve(settings(models, "gate", kind))


async def test_a_replaced_engine_is_a_finding_that_says_what_to_fix(
    serve: Serve, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_tensorrt(monkeypatch)
    async with serve(load=loading.load_to_serve, wait_ready=True, **flags(models, "gate", "tensorrt")) as running:
        (finding,) = [one for one in running.started.parts.vitals.findings() if one.code == "engine_stand_in"]
        assert "JetPack provides it as python3-libnvinfer" in finding.what
        assert finding.what.endswith("A slower engine is running: the device cannot fix this by itself.")
        assert finding.do.startswith("Fix this, then restart the service")


async def test_a_model_that_the_engine_cannot_run_is_not_activated(serve: Serve, models: Path) -> None:
    onnxruntime = flags(models, "gate", "onnxruntime")
    async with serve(load=loading.load_to_serve, wait_ready=True, **onnxruntime) as running:
        with pytest.raises(ModelError, match=r"yard has no \.onnx file"):
            await running.started.parts.activation.activate("yard", bounds=None)
        assert running.report()["engine"]["model"] == "gate"


async def test_while_openvino_replaces_the_engine_other_models_can_be_activated(
    serve: Serve, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_tensorrt(monkeypatch)
    async with serve(load=loading.load_to_serve, wait_ready=True, **flags(models, "gate", "tensorrt")) as running:
        trial = await running.started.parts.activation.activate("yard", bounds=None)
        assert trial.stand_in is not None
        assert "yard has no .onnx file" in trial.stand_in
        assert running.report()["engine"]["model"] == "yard"
