"""Leftovers of a power failure in the models folder, and how they are cleaned up."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.models import scratch


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_leftovers_of_a_killed_process_are_swept_by_the_next_command(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys; from appliance.models import scratch\n"
        "with scratch.appearing(pathlib.Path(sys.argv[1], 'gate')) as fresh:\n"
        "    (fresh / 'model.bin').write_bytes(b'half')\n"
        "    os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], timeout=60)
    (left,) = names(tmp_path)
    assert left.startswith(".new-")
    with scratch.appearing(tmp_path / "yard") as fresh:
        (fresh / "model.bin").write_bytes(b"whole")
    assert names(tmp_path) == ["yard"]


@pytest.mark.parametrize("kind", ["import", "fetch", "export", "remove", "new"])
def test_leftovers_of_every_kind_are_swept_and_nothing_else(tmp_path: Path, kind: str) -> None:
    (tmp_path / f".{kind}-abcd_123" / "gate").mkdir(parents=True)
    for other in (".git", ".compiled", f".{kind}-own", "gate"):
        (tmp_path / other).mkdir()
    (tmp_path / ".import-filefile").write_bytes(b"")
    (tmp_path / ".new-linklink").symlink_to(tmp_path / "gate")
    assert scratch.sweep(tmp_path) == 1
    assert names(tmp_path) == sorted([".git", ".compiled", f".{kind}-own", "gate", ".import-filefile", ".new-linklink"])


def test_a_folder_in_use_is_not_swept(tmp_path: Path) -> None:
    with scratch.folder(tmp_path, "import") as place:
        (place / "file").write_bytes(b"half")
        assert scratch.sweep(tmp_path) == 0
        with scratch.folder(tmp_path, "fetch"):
            assert (place / "file").exists()
    assert names(tmp_path) == []


def test_an_interrupted_replacement_is_completed(tmp_path: Path) -> None:
    """Between the two renames no folder has the name, but the new one is complete."""
    left = tmp_path / ".new-abcdefgh"
    for name, content in (("gate", b"new"), (".former", b"old")):
        (left / name).mkdir(parents=True)
        (left / name / "model.bin").write_bytes(content)
    assert scratch.sweep(tmp_path) == 1
    assert (tmp_path / "gate" / "model.bin").read_bytes() == b"new"
    assert names(tmp_path) == ["gate"]


def test_a_model_may_have_any_name(tmp_path: Path) -> None:
    for name in ("old", "former", "copy"):
        for content in (b"first", b"second"):
            with scratch.appearing(tmp_path / name) as fresh:
                (fresh / "model.bin").write_bytes(content)
        assert (tmp_path / name / "model.bin").read_bytes() == b"second"


def test_the_service_can_read_the_model_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with scratch.appearing(tmp_path / "gate") as fresh:
            (fresh / "model.bin").write_bytes(b"")
    finally:
        os.umask(before)
    assert (tmp_path / "gate").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "gate" / "model.bin").stat().st_mode & 0o777 == 0o644


def test_a_missing_or_locked_folder_is_not_an_error(tmp_path: Path) -> None:
    assert scratch.sweep(tmp_path / "nowhere") == 0
    (tmp_path / ".import-abcdefgh").mkdir()
    lock = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert scratch.sweep(tmp_path) == 0
    finally:
        os.close(lock)
    assert scratch.sweep(tmp_path) == 1


def test_a_failed_replacement_keeps_the_former_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gate").mkdir()
    (tmp_path / "gate" / "model.bin").write_bytes(b"old")
    rename = Path.rename

    def fails(path: Path, target: Path) -> Path:
        if path.name == "gate" and path.parent != tmp_path:
            raise OSError(5, "Input/output error", str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(OSError, match="Input/output"), scratch.appearing(tmp_path / "gate") as fresh:
        (fresh / "model.bin").write_bytes(b"new")
    assert (tmp_path / "gate" / "model.bin").read_bytes() == b"old"
    assert names(tmp_path) == ["gate"]
