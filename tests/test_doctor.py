"""`appliance doctor`: what is wrong has a cross and a way out."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from appliance import cli, config, doctor
from appliance.doctor import Check
from appliance.models import fetch
from tests.models import networks
from tests.test_cli import untouched

__all__ = ["untouched"]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    (tmp_path / "yolo11n.onnx").write_bytes(networks.colours())
    fetch.fetch(tmp_path, lambda _: None, sources=[])
    return tmp_path


def examined(models: Path, **flags: str) -> dict[str, Check]:
    settings = config.load(
        flags={"model.dir": str(models), "server.host": "127.0.0.1", "server.port": "0"}
        | {key.replace("__", "."): value for key, value in flags.items()}
    )
    return {check.name: check for check in doctor.examine(settings)}


def test_on_a_good_machine_everything_about_the_model_is_in_order(models: Path) -> None:
    checks = examined(models)
    assert {"python", "board", "model", "engine", "port", "temperature", "disk", "memory", "clock"} <= set(checks)
    for name in ("python", "board", "model", "engine", "port", "clock"):
        assert checks[name].ok, checks[name]
    assert "3 classes" in checks["model"].text
    assert "openvino on CPU" in checks["engine"].text


def test_whatever_is_wrong_comes_with_what_to_do(tmp_path: Path) -> None:
    checks = examined(tmp_path / "nothing")
    assert not checks["model"].ok
    assert "appliance model fetch" in checks["model"].do
    assert "engine" not in checks
    assert all(check.do for check in checks.values() if not check.ok)


def test_a_damaged_model_is_found(models: Path) -> None:
    (models / "yolo11n" / "model.bin").write_bytes(b"")
    checks = examined(models)
    assert not checks["model"].ok
    assert "model.bin" in checks["model"].text


def test_a_device_that_is_not_there_is_found(models: Path) -> None:
    checks = examined(models, engine__device="NPU")
    if checks["engine"].ok:
        pytest.skip("this machine has an NPU")
    assert checks["model"].ok
    assert "no NPU here" in checks["engine"].text


def test_a_port_in_use_is_found(models: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        checks = examined(models, server__port=str(taken.getsockname()[1]))
    assert not checks["port"].ok
    assert "in use" in checks["port"].text


def test_its_exit_code_says_whether_all_is_well(
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
