"""Separate environments for tools: creation, and the errors when it fails. No package index is needed."""

from __future__ import annotations

import fcntl
import os
import queue
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from appliance.errors import ModelError
from appliance.workshop.environment import Environment, is_ready, python_of, variables
from appliance.workshop.export.ultralytics_process import ENVIRONMENT
from appliance.workshop.quantize import nncf_process

EMPTY = Environment("Nothing", (), 1, "export_failed", only_metadata=("torchvision==9.9.9",))


def test_each_set_of_versions_has_its_own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    nncf, ultralytics = nncf_process.environment().folder(), ENVIRONMENT.folder()
    assert nncf.is_relative_to(tmp_path)
    assert f"nncf-{nncf_process.NNCF}" in nncf.name
    assert "torch-2.13.0-ultralytics-8" in ultralytics.name
    assert not is_ready(ENVIRONMENT, ultralytics)


def test_a_complete_environment_is_not_created_again(tmp_path: Path) -> None:
    (tmp_path / "made-of.txt").write_text(ENVIRONMENT.requirements)
    lines: list[str] = []
    assert python_of(ENVIRONMENT, tmp_path, lines.append) == tmp_path / "bin" / "python"
    assert lines == []
    (tmp_path / "made-of.txt").write_text(ENVIRONMENT.requirements + "\nmore")
    assert not is_ready(ENVIRONMENT, tmp_path)


def test_a_damaged_list_of_its_content_counts_as_incomplete(tmp_path: Path) -> None:
    (tmp_path / "made-of.txt").write_bytes(b"\xff\x00")
    assert not is_ready(EMPTY, tmp_path)


def test_two_commands_do_not_create_it_at_once(tmp_path: Path) -> None:
    """The second one would clear the folder into which the first one installs."""
    place, lines = tmp_path / "new", queue.SimpleQueue[str]()
    with ThreadPoolExecutor(1) as pool, (tmp_path / "new.lock").open("w") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        second = pool.submit(python_of, EMPTY, place, lines.put)
        while "waiting for another command" not in lines.get(timeout=30):
            assert not place.exists()
        (place / "bin").mkdir(parents=True)
        (place / "made-of.txt").write_text(EMPTY.requirements)
        fcntl.flock(first, fcntl.LOCK_UN)
        assert second.result(30) == place / "bin" / "python"
    assert not (place / "bin" / "python").exists()
    assert lines.empty()


def test_a_package_can_have_a_version_without_being_installed(tmp_path: Path) -> None:
    python = python_of(EMPTY, tmp_path / "new", lambda _: None)
    code = "import importlib.metadata, importlib.util as u; print(importlib.metadata.version('torchvision'))"
    done = subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True, env=variables())
    assert done.stdout.strip() == "9.9.9"
    assert is_ready(EMPTY, tmp_path / "new")


def test_without_an_index_the_error_names_the_step_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    lines: list[str] = []
    with pytest.raises(ModelError, match=r"pip install.* failed: .*pip config set") as caught:
        python_of(nncf_process.environment(), tmp_path / "new", lines.append)
    assert caught.value.code == "quantize_failed"
    assert "530 MB" in lines[0]
    assert not is_ready(nncf_process.environment(), tmp_path / "new")


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="XDG_CACHE_HOME") as caught:
        python_of(EMPTY, tmp_path / "file" / "new", lambda _: None)
    assert caught.value.code == "export_failed"


def test_a_full_disk_is_reported_before_anything_is_downloaded(tmp_path: Path) -> None:
    huge = Environment("Everything", (("torch",),), 10**9, "export_failed")
    with pytest.raises(ModelError, match=r"GB free, but .* GB are needed\. Free some space"):
        python_of(huge, tmp_path / "new", lambda _: None)


def test_a_program_does_not_see_our_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/ours")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    assert "PYTHONPATH" not in variables()
    assert variables()["HTTPS_PROXY"] == "http://proxy"
