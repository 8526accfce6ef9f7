"""`appliance model activate` and `rollback`, with and without a running service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance import cli
from appliance.commands.activate import ModelSwitch
from appliance.control.client import Control
from appliance.models import active
from appliance.service import loading
from appliance.settings.loader import load
from tests.conftest import Running, Serve

pytestmark = pytest.mark.usefixtures("own_logging")


@pytest.fixture
def folder(two_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The service's models, `first` and `second`."""
    monkeypatch.setenv("APPLIANCE_CONTROL", str(tmp_path / "run/control.sock"))
    return two_models


@pytest.fixture
async def service(serve: Serve, folder: Path) -> AsyncIterator[Running]:
    flags = {"model.dir": str(folder), "model.name": "first"}
    async with serve(load=loading.load_network, wait_ready=True, **flags) as running:
        yield running


def test_models_are_not_compared_where_memory_holds_only_one(folder: Path) -> None:
    lines: list[str] = []
    no_service = Control([folder / "no-such.sock"])
    settings = load(flags={"model.dir": str(folder), "model.name": "first"})
    ModelSwitch(settings, no_service, lines.append, lambda: 90_000_000).activate("second", None, force=False)
    assert lines[0] == "  not enough memory for two models: second is not compared with first"
    assert "similarity" not in lines[1]
    assert active.read(folder, "first").name == "second"


def test_a_substitute_engine_is_reported(folder: Path) -> None:
    lines: list[str] = []
    settings = load(flags={"model.dir": str(folder), "model.name": "first", "engine.kind": "tensorrt"})
    ModelSwitch(settings, Control([folder / "no-such.sock"]), lines.append).activate("second", None, force=True)
    assert "on a substitute engine: second has no .onnx file" in lines[0]


async def model_command(*arguments: str) -> int:
    """Run the command with a `model.dir` that is not the service's."""
    return await asyncio.to_thread(cli.main, ["model", *arguments, "--set", "model.dir=elsewhere"])


def in_use(service: Running) -> object:
    return service.report()["engine"]["model"]


async def test_the_running_service_switches_at_once_and_rolls_back(
    service: Running, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await model_command("activate", "second") == 0
    assert in_use(service) == "second"
    assert active.read(folder, "first").name == "second"
    tried, when = capsys.readouterr().out.splitlines()
    assert tried.startswith("  second works: ")
    assert tried.endswith("; 100 % similarity on 1 picture")
    assert when == "second is in use now and after a restart"
    assert await model_command("rollback") == 0
    assert in_use(service) == "first"
    assert active.read(folder, "first").name == "first"
    assert await model_command("rollback") == 1
    assert "cannot roll back: no model was active before" in capsys.readouterr().err


async def test_a_rejected_model_is_not_recorded_and_is_a_finding_until_the_next_success(
    service: Running, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    health = service.started.parts.vitals
    assert await model_command("activate", "secnod") == 3
    (folder / "second" / "model.bin").write_bytes(b"damage")
    assert await model_command("activate", "second") == 3
    complaints = [line for line in capsys.readouterr().err.splitlines() if line.startswith("appliance: ")]
    unknown, damaged = complaints
    assert "did you mean 'second'?" in unknown
    assert "is damaged" in damaged
    assert in_use(service) == "first"
    assert not (folder / active.FILE).exists()
    finding = next(one for one in health.findings() if one.code == "model_not_activated")
    assert "second was not activated" in finding.what
    assert await model_command("activate", "first") == 0
    assert "model_not_activated" not in [one.code for one in health.findings()]


async def test_an_activation_that_cannot_be_recorded_is_reported(
    service: Running, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / active.FILE).mkdir()
    assert await model_command("activate", "second") == 1
    assert in_use(service) == "second"
    assert "the activation would not survive a restart" in capsys.readouterr().err


async def test_a_service_without_a_model_becomes_ready_after_an_activation(serve: Serve, folder: Path) -> None:
    flags = {"model.dir": str(folder), "model.name": "nobody"}
    async with serve(load=loading.load_network, **flags) as service:
        health = service.started.parts.vitals
        assert [one.code for one in health.findings() if one.severity == "critical"] == ["model_missing"]
        assert await model_command("activate", "second") == 0
        deadline_s = time.monotonic() + 10
        while not health.ready():
            assert time.monotonic() < deadline_s
            await asyncio.sleep(0.01)
        assert [one.code for one in health.findings() if one.severity == "critical"] == []
