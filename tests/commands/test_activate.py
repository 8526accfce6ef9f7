"""`appliance model activate` and `rollback` beside a service that runs: it changes at once, and after a restart too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance import cli
from appliance.commands.activate import Choice
from appliance.control.client import Control
from appliance.models import active
from appliance.service import loading
from appliance.settings.loader import load
from tests.conftest import Running, Serve
from tests.models.bundles import make_bundles

pytestmark = pytest.mark.usefixtures("own_logging")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The service's models, `first` and `second`, that find colours."""
    monkeypatch.setenv("APPLIANCE_CONTROL", str(tmp_path / "run/control.sock"))
    return make_bundles(tmp_path / "models", "first", "second")


@pytest.fixture
async def box(serve: Serve, folder: Path) -> AsyncIterator[Running]:
    flags = {"model.dir": str(folder), "model.name": "first"}
    async with serve(load=loading.load_network, wait_ready=True, **flags) as running:
        yield running


def test_where_memory_holds_one_network_alone_the_new_one_is_not_compared(folder: Path) -> None:
    said: list[str] = []
    nobody = Control([folder / "no-such.sock"])
    mine = load(flags={"model.dir": str(folder), "model.name": "first"})
    Choice(mine, nobody, said.append, lambda: 90_000_000).activate("second", None, force=False)
    assert said[0] == "  memory is too short for both: second is not compared with first"
    assert "alike" not in said[1]
    assert active.read(folder, "first").name == "second"


def test_a_model_that_a_stand_in_runs_is_said_to_be_so(folder: Path) -> None:
    said: list[str] = []
    mine = load(flags={"model.dir": str(folder), "model.name": "first", "engine.kind": "tensorrt"})
    Choice(mine, Control([folder / "no-such.sock"]), said.append).activate("second", None, force=True)
    assert "but on a stand-in: second has no .onnx file" in said[0]


async def ask(*arguments: str) -> int:
    """The command, from a place where nothing says which models the service has."""
    return await asyncio.to_thread(cli.main, ["model", *arguments, "--set", "model.dir=elsewhere"])


def in_use(box: Running) -> object:
    return box.report()["engine"]["model"]


async def test_the_service_changes_at_once_and_goes_back(
    box: Running, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await ask("activate", "second") == 0
    assert in_use(box) == "second"
    assert active.read(folder, "first").name == "second"
    tried, told = capsys.readouterr().out.splitlines()
    assert tried.startswith("  second works: ")
    assert tried.endswith(" ms; 100 % alike on 1 pictures")
    assert told == "second is in use, and will be after a restart"
    assert await ask("rollback") == 0
    assert in_use(box) == "first"
    assert active.read(folder, "first").name == "first"
    assert await ask("rollback") == 1
    assert "cannot roll back: no model was active before" in capsys.readouterr().err


async def test_what_the_service_refuses_is_not_written_down_and_is_a_finding_until_the_next_that_holds(
    box: Running, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    health = box.started.parts.vitals
    assert await ask("activate", "secnod") == 3
    (folder / "second" / "model.bin").write_bytes(b"damage")
    assert await ask("activate", "second") == 3
    complaints = [line for line in capsys.readouterr().err.splitlines() if line.startswith("appliance: ")]
    unknown, damaged = complaints
    assert "did you mean 'second'?" in unknown
    assert "is damaged" in damaged
    assert in_use(box) == "first"
    assert not (folder / active.FILE).exists()
    finding = next(one for one in health.findings() if one.code == "model_not_activated")
    assert "second was not activated" in finding.what
    assert await ask("activate", "first") == 0
    assert "model_not_activated" not in [one.code for one in health.findings()]


async def test_a_choice_that_holds_but_cannot_be_kept_is_said(
    box: Running, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / active.FILE).mkdir()
    assert await ask("activate", "second") == 1
    assert in_use(box) == "second"
    assert "the activation would not survive a restart" in capsys.readouterr().err


async def test_a_box_without_a_model_is_ready_when_it_was_given_one(serve: Serve, folder: Path) -> None:
    flags = {"model.dir": str(folder), "model.name": "nobody"}
    async with serve(load=loading.load_network, **flags) as box:
        health = box.started.parts.vitals
        assert [one.code for one in health.findings() if one.severity == "critical"] == ["model_missing"]
        assert await ask("activate", "second") == 0
        while not health.ready():
            await asyncio.sleep(0.01)
        assert [one.code for one in health.findings() if one.severity == "critical"] == []
