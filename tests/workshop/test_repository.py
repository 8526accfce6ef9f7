"""The operator's repository of releases, with bundles and files that are damaged."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from tests.update.operator import Operator
from tests.workshop.release_program import release


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    """With a repository that offers one release."""
    made = Operator(tmp_path / "repository")
    made.release("2.0", 2, share=10)
    return made


def bundle(path: Path, about: bytes) -> Path:
    with tarfile.open(path, "w:xz") as packed:
        entry = tarfile.TarInfo("BUNDLE")
        entry.size = len(about)
        packed.addfile(entry, io.BytesIO(about))
    return path


@pytest.mark.parametrize("damage", ["no archive", "half", "no BUNDLE", "no lines", "no architecture"])
def test_a_damaged_bundle_is_an_error_of_one_line(
    operator: Operator, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = bundle(tmp_path / "bundle.tar.xz", b"x" if damage == "no lines" else b"version=3.0\n")
    if damage == "no archive":
        path.write_bytes(b"no archive")
    elif damage == "half":
        path.write_bytes(path.read_bytes()[:-40])
    elif damage == "no BUNDLE":
        with tarfile.open(path, "w:xz"):
            pass
    keys = operator.write_keys(tmp_path / "keys")
    assert release("add", path, "--number", "3", "--repository", operator.folder, "--keys", keys) == 1
    written = capsys.readouterr().err
    assert written.startswith(f"release: {path} ")
    assert written.count("\n") == 1


def test_a_damaged_repository_is_an_error_that_names_the_file(
    operator: Operator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newest = sorted((operator.folder / "metadata").glob("*.targets.json"))[-1]
    newest.write_text("{")
    keys = operator.write_keys(tmp_path / "keys")
    assert release("share", "--share", "50", "--repository", operator.folder, "--keys", keys) == 1
    assert capsys.readouterr().err.startswith(f"release: {newest} is damaged")


def test_another_file_in_the_repository_is_ignored(operator: Operator, tmp_path: Path) -> None:
    (operator.folder / "metadata" / "old.targets.json").write_text("{")
    keys = operator.write_keys(tmp_path / "keys")
    assert release("share", "--share", "50", "--repository", operator.folder, "--keys", keys) == 0
