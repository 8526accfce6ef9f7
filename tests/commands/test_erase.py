"""`appliance erase` for a service that is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.cli import main
from appliance.device import state


@pytest.fixture
def flags(tmp_path: Path) -> list[str]:
    (tmp_path / "state/tls").mkdir(parents=True)
    for name in ("state/tls/key.pem", "state/history", "state/calibration-frames/0.jpg",
                 "models/.compiled/a.blob", "models/a/model.bin",
                 "seen/00000001_20261128T120000_person.jpg", "seen/holiday.jpg"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("secret")
    settings = {"state.dir": "state", "model.dir": "models", "camera.save_dir": "seen"}
    return ["erase", "--config", "/dev/null", *(f"--set={key}={tmp_path / folder}" for key, folder in settings.items())]


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_state_caches_and_saved_pictures_are_erased(flags: list[str], tmp_path: Path) -> None:
    assert main([*flags, "--yes"]) == 0
    assert files(tmp_path) - {"state/lock"} == {"models/a/model.bin", "seen/holiday.jpg"}


def test_nothing_is_erased_without_consent(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(tmp_path)
    assert main(flags) == 2
    assert files(tmp_path) == before
    assert "add --yes" in capsys.readouterr().err


def test_nothing_is_erased_while_the_service_runs(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with state.open_folder(tmp_path / "state"):
        assert main([*flags, "--yes"]) == 1
    assert "Stop the service first" in capsys.readouterr().err
    assert (tmp_path / "state/tls/key.pem").exists()


def test_a_factory_reset_needs_an_installed_device(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*flags, "--yes", "--factory-reset"]) == 2
    assert "for an installed device" in capsys.readouterr().err
