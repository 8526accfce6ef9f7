"""The active model after activations, changed settings, damage and restarts."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import ModelError
from appliance.models import active

NAMES = st.sampled_from("abcdef")


def active_name(models_dir: Path, configured: str = "a") -> str:
    return active.read(models_dir, configured).name


def test_without_an_activation_the_settings_decide(tmp_path: Path) -> None:
    assert active_name(tmp_path) == "a"


def test_an_activation_survives_a_restart(tmp_path: Path) -> None:
    active.activate(tmp_path, "b", "a")
    assert active_name(tmp_path) == "b"
    assert [path.name for path in tmp_path.iterdir()] == [active.FILE]


@pytest.mark.parametrize("name", ["two\nlines", "back\\slash", "x" * 201])
def test_a_model_that_would_be_forgotten_at_the_next_start_is_not_activated(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match="Rename the folder") as caught:
        active.activate(tmp_path, name, "a")
    assert caught.value.code == active.NOT_ACTIVATED
    assert list(tmp_path.iterdir()) == []


def test_a_later_change_of_the_settings_voids_an_activation(tmp_path: Path) -> None:
    active.activate(tmp_path, "b", "a")
    assert active_name(tmp_path, "c") == "c"
    active.activate(tmp_path, "d", "c")
    assert active_name(tmp_path, "c") == "d"
    assert active.previous(tmp_path, "c") == "c"


@given(st.lists(NAMES, max_size=8))
@settings(deadline=None)  # each activation is flushed to the disk
def test_every_step_back_undoes_one_activation(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    models_dir = tmp_path_factory.mktemp("models")
    order = ["a"]
    for name in names:
        active.activate(models_dir, name, "a")
        order = [*(one for one in order if one != name), name]
    for name in order[-2::-1]:
        assert active.previous(models_dir, "a") == name
        assert active.step_back(models_dir, "a").name == name
        assert active_name(models_dir) == name
    with pytest.raises(ModelError, match="cannot roll back"):
        active.previous(models_dir, "a")


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"name": "b"}', '{"name": "b", "configured": "a", "former": 3}'])
def test_a_damaged_file_counts_as_no_activation(tmp_path: Path, text: str) -> None:
    (tmp_path / active.FILE).write_text(text)
    assert active_name(tmp_path) == "a"
    active.activate(tmp_path, "b", "a")
    assert active_name(tmp_path) == "b"


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    os.mkdir(tmp_path / active.FILE)  # a folder in its place: permissions do not stop root
    with pytest.raises(ModelError, match="would not survive a restart") as caught:
        active.activate(tmp_path, "b", "a")
    assert caught.value.code == "model_not_activated"
    assert [path.name for path in tmp_path.iterdir()] == [active.FILE]


def test_a_folder_that_cannot_be_written_is_detected_beforehand(tmp_path: Path) -> None:
    active.check_writable(tmp_path)
    with pytest.raises(ModelError, match="Use sudo") as caught:
        active.check_writable(tmp_path / "gone")
    assert caught.value.code == "model_not_activated"


def test_the_service_can_read_the_file_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        active.activate(tmp_path, "b", "a")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / active.FILE).stat().st_mode) == 0o644
