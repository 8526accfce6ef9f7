"""The trial run of an imported model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance import cli
from appliance.errors import ModelError
from appliance.models import bundle as bundles
from appliance.settings import loader
from appliance.settings.schema import Settings
from appliance.workshop import trial_run
from tests.models import networks
from tests.models.bundles import edit_manifest, make_bundles


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_bundles(tmp_path / "models", "gate") / "gate"


def settings(folder: Path) -> Settings:
    return loader.load(flags={"model.dir": str(folder.parent), "model.name": folder.name})


def rejected(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        trial_run.run_once(settings(folder))
    assert caught.value.code == "model_unsupported"
    return str(caught.value)


def test_a_valid_model_runs(folder: Path) -> None:
    before = sorted(folder.iterdir())
    trial_run.check_runs(settings(folder), folder)
    assert sorted(folder.iterdir()) == before


def test_masks_exported_with_nms_run(tmp_path: Path) -> None:
    rows = np.tile(np.array([10, 10, 50, 50, 0.9, 1, 1, 1, 1], np.float32), (1, 300, 1))
    folder = networks.export(tmp_path / "model", rows, networks.masks, task="segment", args={"nms": True})
    trial_run.run_once(settings(folder))
    assert bundles.read(folder).head == "end_to_end"


@pytest.mark.parametrize(
    "entries", [{"task": "pose", "keypoints": [17, 3]}, {"task": "segment"}, {"head": "picodet"}], ids=str
)
def test_output_that_cannot_be_read_is_reported(folder: Path, entries: dict[str, Any]) -> None:
    edit_manifest(folder, **entries)
    assert "its output cannot be read" in rejected(folder)


def at_one_size_only(image: Any) -> Any:
    """As if the exporter stored a fixed size in a dynamic network."""
    from openvino import opset13 as ops

    return ops.reshape(image, np.array([1, 3, 640 * 384], np.int64), False)


def test_a_network_that_is_not_really_dynamic_is_rejected(tmp_path: Path) -> None:
    folder = networks.export(tmp_path / "model", np.zeros((1, 7, 84), np.float32), at_one_size_only)
    assert "Export it again" in rejected(folder)


def larger_than_any_memory(_: Any) -> Any:
    """A constant of 400 TB, which OpenVINO computes only when it compiles the network."""
    from openvino import opset13 as ops

    side = 10_000_000
    whole = ops.broadcast(ops.constant(np.float32(1)), ops.constant(np.array([side, side], np.int64)))
    return ops.reduce_mean(whole, np.array([0, 1]), False)


def test_a_network_that_needs_more_than_all_memory_is_rejected(tmp_path: Path) -> None:
    folder = networks.export(tmp_path / "model", np.zeros((1, 7, 84), np.float32), larger_than_any_memory)
    with pytest.raises(ModelError) as caught:
        trial_run.check_runs(settings(folder), folder)
    assert caught.value.code == "model_unsupported"


def script(folder: Path, line: str) -> str:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("kill -SEGV $$", "ended early (ended by SIGSEGV)"),
        ("kill -KILL $$", "not enough memory"),
        ("echo terminate called >&2; exit 134", "ended early (terminate called)"),
        ("echo", "ended early"),
    ],
)
def test_a_network_that_crashes_its_process_is_an_error_of_the_import(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, reason: str
) -> None:
    chosen = settings(folder)
    monkeypatch.setattr(sys, "executable", script(tmp_path, line))
    with pytest.raises(ModelError) as caught:
        trial_run.check_runs(chosen, folder)
    assert reason in str(caught.value)


def test_the_command_line_of_the_trial_contains_no_secrets(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = tmp_path / "arguments"
    chosen = loader.load(flags={"server.viewer_token": "s3cret", "server.api_key": "s3cret"})
    monkeypatch.setattr(sys, "executable", script(tmp_path, f'echo "$@" > {arguments}; echo "{{}}"'))
    trial_run.check_runs(chosen, folder)
    assert "s3cret" not in arguments.read_text()


def imported(models_dir: Path, source: Path) -> int:
    return cli.main(["model", "import", str(source), "--set", f"model.dir={models_dir}"])


def test_a_model_that_does_not_run_is_not_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = networks.export(tmp_path / "gate", np.zeros((1, 7, 84), np.float32), at_one_size_only)
    assert imported(tmp_path / "models", source) == 3
    assert "gate loads, but inference fails" in capsys.readouterr().err
    assert list((tmp_path / "models").iterdir()) == []


def test_a_model_is_imported_after_its_trial(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert imported(tmp_path / "others", folder) == 0
    assert "appliance model activate gate" in capsys.readouterr().out
    assert bundles.read(tmp_path / "others" / "gate").source == "a test"
