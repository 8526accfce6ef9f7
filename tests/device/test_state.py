"""The state folder: one service at a time, complete files, and no unreadable file is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from appliance import files
from appliance.device import state


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/appliance", "XDG_STATE_HOME": "/x"}, "/var/lib/appliance"),
        ({"STATE_DIRECTORY": "/var/lib/appliance:/var/lib/other"}, "/var/lib/appliance"),
        ({"XDG_STATE_HOME": "/data/state"}, "/data/state/appliance"),
        ({"XDG_STATE_HOME": "relative"}, "/home/pi/.local/state/appliance"),
        ({"STATE_DIRECTORY": "", "XDG_STATE_HOME": ""}, "/home/pi/.local/state/appliance"),
        ({}, "/home/pi/.local/state/appliance"),
    ],
)
def test_the_folder_comes_from_systemd_or_xdg(environ: dict[str, str], expected: str) -> None:
    assert state.default_dir(environ | {"HOME": "/home/pi"}) == Path(expected)


def test_a_missing_folder_is_created_for_its_owner_only(tmp_path: Path) -> None:
    with state.open_folder(tmp_path / "a/b") as folder:
        assert folder.path == tmp_path / "a/b"
        assert folder.problem is None
        assert oct(folder.path.stat().st_mode & 0o777) == "0o700"


def test_a_second_service_cannot_use_the_folder_until_the_first_one_ends(tmp_path: Path) -> None:
    with state.open_folder(tmp_path) as first:
        second = state.open_folder(tmp_path)
        assert (second.path, second.taken) == (None, True)
        assert second.problem is not None
        assert "another service" in second.problem
        second.close()
        assert first.path is not None
        assert state.open_folder(tmp_path).taken, "closing the second one must not release the lock of the first"
    with state.open_folder(tmp_path) as third:
        assert third.path == tmp_path


def test_a_killed_service_leaves_no_lock(tmp_path: Path) -> None:
    program = (
        "import sys, os; from pathlib import Path; from appliance.device import state;"
        "folder = state.open_folder(Path(sys.argv[1])); print(folder.path, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == -9
    assert done.stdout.strip() == str(tmp_path)
    with state.open_folder(tmp_path) as folder:
        assert folder.path == tmp_path


def test_a_folder_that_cannot_be_created_is_a_problem_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = state.open_folder(tmp_path / "file/state")
    assert (folder.path, folder.taken) == (None, False)
    assert folder.problem is not None
    assert str(tmp_path / "file/state") in folder.problem


def test_a_lock_that_is_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    (tmp_path / "lock").symlink_to(tmp_path / "precious")
    assert state.open_folder(tmp_path).path is None


def test_a_file_is_replaced_and_no_temporary_file_remains(tmp_path: Path) -> None:
    files.write(tmp_path / "x", b"old")
    files.write(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    files.write(tmp_path / "x", b"old")
    (tmp_path / f".x.{os.getpid()}").mkdir()
    with pytest.raises(IsADirectoryError):
        files.write(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"old"
    with pytest.raises(FileNotFoundError):
        files.write(tmp_path / "gone/x", b"new")


def test_the_last_three_files_set_aside_are_kept(tmp_path: Path) -> None:
    for number in range(1, 13):
        (tmp_path / "history").write_text(str(number))
        assert state.set_aside(tmp_path / "history").name == f"history.corrupt-{number}"
    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert kept == {"history.corrupt-10": "10", "history.corrupt-11": "11", "history.corrupt-12": "12"}


def test_files_with_similar_names_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "history").write_text("")
    (tmp_path / "history.corrupt-mine").write_text("")
    (tmp_path / "history.corrupt-7").mkdir()
    assert state.set_aside(tmp_path / "history").name == "history.corrupt-1"
    assert {path.name for path in tmp_path.iterdir()} == {
        "history.corrupt-mine", "history.corrupt-7", "history.corrupt-1"
    }  # fmt: skip


def test_a_folder_set_aside_before_does_not_block_a_name(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / "history").mkdir()
        assert state.set_aside(tmp_path / "history").name == f"history.corrupt-{number}"
    (tmp_path / "history").write_text("")
    assert state.set_aside(tmp_path / "history").name == "history.corrupt-3"
