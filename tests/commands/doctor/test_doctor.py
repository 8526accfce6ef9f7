"""`appliance doctor`: each failed check comes with a fix."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance import cli
from appliance.commands.doctor import sensors
from appliance.commands.doctor.check_result import CheckResult
from appliance.commands.doctor.examine import examine
from appliance.readings import Memory, Power, Reading, Storage, System, Thermal
from appliance.service import loading
from appliance.settings import loader
from tests.conftest import Serve
from tests.engines.nvidia.jetson import Jetson
from tests.models import networks
from tests.models.bundles import make_bundles

pytestmark = pytest.mark.usefixtures("own_logging")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return make_bundles(tmp_path, "yolo11n")


def examined(models: Path, **flags: str) -> dict[str, CheckResult]:
    settings = loader.load(
        flags={"model.dir": str(models), "server.host": "127.0.0.1", "server.port": "0"}
        | {key.replace("__", "."): value for key, value in flags.items()}
    )
    return {check.name: check for check in examine(settings)}


def test_a_working_installation_passes(models: Path) -> None:
    checks = examined(models)
    assert {"python", "board", "model", "engine", "port", "temperature", "power", "disk", "memory", "clock"} <= set(
        checks
    )
    for name in ("python", "board", "model", "engine", "port", "clock"):
        assert checks[name].ok, checks[name]
    assert "3 classes" in checks["model"].text
    assert checks["self-test"].ok is None
    assert checks["self-test"].text == "not tested: yolo11n has no class 'stop sign'"
    assert "openvino on CPU" in checks["engine"].text


def test_a_model_that_fails_the_test_image_fails(tmp_path: Path) -> None:
    network = networks.colours(names="{0: 'stop sign', 1: 'green', 2: 'blue'}")
    make_bundles(tmp_path, "yolo11n", onnx=network)
    result = examined(tmp_path)["self-test"]
    assert not result.ok
    assert result.text.startswith("0 of 3 drawn stop signs were found")
    assert "appliance model fetch --force" in result.fix


def test_the_default_model_passes_the_test_image(models_dir: Path) -> None:
    assert examined(models_dir, engine__cache="false")["self-test"] == CheckResult(
        "self-test", True, "test image recognised",
        "Run `appliance model fetch --force`, or activate another model with `appliance model activate`.",
    )  # fmt: skip


def test_every_failed_check_has_a_fix(tmp_path: Path) -> None:
    checks = examined(tmp_path / "nothing")
    assert not checks["model"].ok
    assert "appliance model fetch" in checks["model"].fix
    assert "engine" not in checks
    assert all(check.fix for check in checks.values() if check.ok is False)


def test_an_engine_that_is_not_built_yet_is_left_to_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Jetson(monkeypatch)
    make_bundles(tmp_path, "yolo11n", keep_onnx=True)
    engine = examined(tmp_path, engine__kind="tensorrt")["engine"]
    assert not engine.ok
    assert engine.text == "TensorRT cannot run yolo11n yet: no engine was built for this device"
    assert "Start the service" in engine.fix


def test_an_unusable_engine_fails(models: Path) -> None:
    engine = examined(models, engine__kind="tensorrt")["engine"]
    assert not engine.ok
    assert "yolo11n has no .onnx file" in engine.text
    assert engine.fix == "Fix this, or set engine.kind to openvino, which is used meanwhile."


def test_a_damaged_model_fails(models: Path) -> None:
    (models / "yolo11n" / "model.bin").write_bytes(b"")
    checks = examined(models)
    assert not checks["model"].ok
    assert "model.bin" in checks["model"].text


def test_a_missing_device_fails(models: Path) -> None:
    checks = examined(models, engine__device="NPU")
    if checks["engine"].ok:
        pytest.skip("this machine has an NPU")
    assert checks["model"].ok
    assert "found no device NPU" in checks["engine"].text


def test_a_port_in_use_fails(models: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        checks = examined(models, server__port=str(taken.getsockname()[1]))
    assert not checks["port"].ok
    assert "in use" in checks["port"].text


def test_the_exit_code_is_1_if_any_check_fails(
    tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ["--set", "server.host=127.0.0.1", "--set", "server.port=0"]
    status = cli.main(["doctor", *here, "--set", f"model.dir={models}"])
    out = capsys.readouterr().out
    assert status == (1 if "✗" in out else 0)
    assert "✓ model" in out
    assert cli.main(["doctor", *here, "--set", f"model.dir={tmp_path / 'nothing'}"]) == 1
    out = capsys.readouterr().out
    assert "✗ model" in out
    assert "→ " in out


HEALTHY = Reading(
    at_s=1.0,
    thermal=Thermal(soc_temp_c=61.5, passive_temp_c=80.0),
    power=Power(under_voltage=False, under_voltage_since_boot=False),
    memory=Memory(available_bytes=2_000_000_000),
    storage=Storage(free_bytes=9_000_000_000, read_only=False, wear_percent=20.0, reserve_low=False),
    system=System(clock_synchronised=True),
)


def checked(reading: Reading) -> dict[str, CheckResult]:
    return {check.name: check for check in sensors.of_reading(reading)}


def test_a_healthy_board_passes_with_its_measurements() -> None:
    checks = checked(HEALTHY)
    assert all(check.ok for check in checks.values())
    assert checks["temperature"].text == "62 °C; the chip throttles at 80 °C"
    assert checks["power"].text == "no under-voltage"
    assert checks["disk"].text == "9.0 GB free, up to 20 % worn"
    assert checks["memory"].text == "2.0 GB available"
    assert checks["clock"].text.endswith("UTC, synchronised")


@pytest.mark.parametrize(
    ("name", "changed", "text"),
    [
        (
            "temperature",
            {"thermal": Thermal(soc_temp_c=80.0, passive_temp_c=80.0)},
            "80 °C; the chip throttles",
        ),
        ("power", {"power": Power(under_voltage=True)}, "under-voltage"),
        (
            "power",
            {"power": Power(under_voltage=False, under_voltage_since_boot=True)},
            "at least once since the board",
        ),
        ("disk", {"storage": Storage(free_bytes=10**8)}, "0.1 GB free"),
        ("disk", {"storage": Storage(free_bytes=10**10, read_only=True)}, "read-only"),
        ("disk", {"storage": Storage(free_bytes=10**10, wear_percent=100.0)}, "worn out"),
        ("disk", {"storage": Storage(free_bytes=10**10, reserve_low=True)}, "worn out"),
        ("memory", {"memory": Memory(available_bytes=10**8)}, "0.1 GB available"),
        (
            "memory",
            {"memory": Memory(available_bytes=10**10, cgroup_limit_bytes=5 * 10**8, cgroup_used_bytes=3 * 10**8)},
            "0.2 GB within the memory limit of the control group",
        ),
    ],
)
def test_each_hardware_problem_fails_its_check(name: str, changed: dict[str, Any], text: str) -> None:
    checks = checked(replace(HEALTHY, **changed))
    assert [check.name for check in checks.values() if check.ok is False] == [name]
    assert text in checks[name].text
    assert checks[name].fix


def test_an_unknown_value_is_marked_as_unknown_with_its_reason() -> None:
    unknown = {
        "thermal.soc_temp_c": "did not answer for 12 s",
        "power.under_voltage": "this board does not watch its supply",
        "storage.free_bytes": "/models cannot be read (No such file or directory)",
        "memory.available_bytes": "/proc/meminfo cannot be read",
    }
    checks = checked(Reading(at_s=1.0, unknown=unknown))
    assert not any(check.ok is False for check in checks.values())
    for name, reason in zip(("temperature", "power", "disk", "memory"), unknown.values(), strict=True):
        assert checks[name].ok is None
        assert checks[name].text.startswith("unknown")
        assert checks[name].text.endswith(reason)


async def test_a_running_service_on_the_port_passes_and_reports_its_engine(models: Path, serve: Serve) -> None:
    async with serve() as running:
        checks = await asyncio.to_thread(examined, models, server__port=running.url.rpartition(":")[2])
    assert checks["port"].ok
    assert checks["port"].text.endswith("used by the running service")
    assert checks["engine"].text.startswith("in the running service: ")


async def test_a_running_service_on_a_substitute_engine_fails(models: Path, serve: Serve) -> None:
    flags = {"model.dir": str(models), "model.name": "yolo11n", "engine.kind": "tensorrt"}
    async with serve(load=loading.load_to_serve, wait_ready=True, **flags) as running:
        port = running.url.rpartition(":")[2]
        engine = (await asyncio.to_thread(examined, models, server__port=port))["engine"]
    assert not engine.ok
    assert "yolo11n has no .onnx file" in engine.text


def test_another_program_on_the_port_fails(models: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            with suppress(OSError):
                while True:
                    with server.accept()[0] as visitor:
                        visitor.sendall(b"220 mail.example ESMTP\r\n")

        threading.Thread(target=greet, daemon=True).start()
        port = examined(models, server__port=str(server.getsockname()[1]))["port"]
        server.shutdown(socket.SHUT_RDWR)
    assert not port.ok
