"""Starts are counted from the moment the machine was switched on."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.device.state import StateFolder
from appliance.service import starts


@pytest.fixture
def root(tmp_path: Path) -> Path:
    boot_id = tmp_path / "root/proc/sys/kernel/random/boot_id"
    boot_id.parent.mkdir(parents=True)
    boot_id.write_text("11111111-2222\n")
    return tmp_path / "root"


def test_restarts_are_counted_until_the_machine_boots_again(tmp_path: Path, root: Path) -> None:
    folder = StateFolder(tmp_path)
    assert [starts.count(folder, root) for _ in range(3)] == [0, 1, 2]
    (root / "proc/sys/kernel/random/boot_id").write_text("33333333-4444\n")
    assert starts.count(folder, root) == 0
    (tmp_path / "starts.json").write_text("damaged")
    assert [starts.count(folder, root) for _ in range(2)] == [0, 1]


def test_without_a_usable_folder_the_number_is_unknown(
    tmp_path: Path, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert starts.count(None, root) is None
    assert starts.count(StateFolder(None), root) is None
    assert starts.count(StateFolder(tmp_path / "gone"), root) is None
    assert "cannot count this start" in caplog.text
