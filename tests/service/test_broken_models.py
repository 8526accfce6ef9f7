"""The service starts with a model that is broken in any way, and reports what is wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance import cli
from appliance.models import active
from appliance.models import bundle as bundles
from appliance.service import loading
from tests.conftest import Serve
from tests.models.bundles import make_bundles

NESTED = "[" * 100_000


def manifest(**entries: object) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        path = folder / bundles.MANIFEST
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | entries), encoding="utf-8")

    return write


def pipe(folder: Path) -> None:
    (folder / "model.bin").unlink()
    os.mkfifo(folder / "model.bin")


def metadata(text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / bundles.MANIFEST).unlink()
        (folder / "metadata.yaml").write_text(text, encoding="utf-8")

    return write


DAMAGE: dict[str, Callable[[Path], object]] = {
    "stride 0": manifest(stride=0),
    "nested manifest": lambda folder: (folder / bundles.MANIFEST).write_text(NESTED, encoding="utf-8"),
    "files elsewhere": manifest(files={"../../../etc/passwd": "0" * 64}),
    "network elsewhere": manifest(network="/dev/zero"),
    "a pipe": pipe,
    "nested metadata": metadata(NESTED),
    "other outputs": manifest(task="segment"),
    "another head": manifest(head="boxes_scores"),
    "another size": manifest(fixed_size={"width": 8192, "height": 1}),
}


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    return make_bundles(tmp_path / "models", "gate")


@pytest.mark.parametrize("what", DAMAGE)
async def test_the_service_starts_with_any_broken_model(serve: Serve, models_dir: Path, what: str) -> None:
    DAMAGE[what](models_dir / "gate")
    async with serve(load=loading.load_to_serve, **{"model.dir": str(models_dir), "model.name": "gate"}) as running:
        assert not running.started.parts.vitals.ready()
        assert "engine" in running.report()


async def test_the_service_starts_with_a_damaged_activation(serve: Serve, models_dir: Path) -> None:
    (models_dir / active.FILE).write_text(NESTED, encoding="utf-8")
    async with serve(load=loading.load_to_serve, **{"model.dir": str(models_dir), "model.name": "gate"}) as running:
        assert running.report()["engine"]["model"] == "gate"


async def test_leftovers_of_an_interrupted_import_are_removed_at_the_start(serve: Serve, models_dir: Path) -> None:
    (models_dir / ".import-abcdefgh" / ".copy").mkdir(parents=True)
    async with serve(load=loading.load_to_serve, **{"model.dir": str(models_dir), "model.name": "gate"}):
        assert [path.name for path in models_dir.iterdir() if path.name.startswith(".import-")] == []


async def test_an_unexpected_exception_of_an_engine_is_reported(
    serve: Serve, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("deep inside")

    monkeypatch.setattr("appliance.engines.registry.create", broken)
    async with serve(load=loading.load_to_serve, **{"model.dir": str(models_dir), "model.name": "gate"}) as running:
        (finding,) = [one for one in running.started.parts.vitals.findings() if one.severity == "critical"]
        assert "ZeroDivisionError: deep inside" in finding.what


@pytest.mark.parametrize("what", ["nested manifest", "stride 0", "a pipe"])
def test_the_list_of_models_shows_the_others(models_dir: Path, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    make_bundles(models_dir, "yard")
    DAMAGE[what](models_dir / "gate")
    assert cli.main(["model", "list", "--set", f"model.dir={models_dir}", "--set", "model.name=yard"]) == 0
    broken, valid = capsys.readouterr().out.splitlines()
    assert "broken: " in broken
    assert valid.startswith("* yard")
