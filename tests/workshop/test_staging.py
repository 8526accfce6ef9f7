"""Malicious sources: paths outside the folder, archives that fill the disk, pipes that block the import."""

from __future__ import annotations

import io
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance import files
from appliance.errors import ModelError
from appliance.models import bundle as bundles
from appliance.workshop import importing
from tests.models import networks
from tests.models.bundles import edit_manifest, make_bundles


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A valid bundle."""
    return make_bundles(tmp_path_factory.mktemp("good"), "gate") / "gate"


@pytest.fixture
def source(good: Path, tmp_path: Path) -> Path:
    """A copy of the valid bundle, for changes."""
    return Path(shutil.copytree(good, tmp_path / "source"))


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    return tmp_path / "models"


def rejected(source: Path, models_dir: Path) -> str:
    """The error, which leaves no files behind, in the models folder or elsewhere."""
    around = sorted(path for path in models_dir.parent.iterdir() if path != models_dir)
    with pytest.raises(ModelError) as caught:
        importing.import_model(source, models_dir, "new")
    assert caught.value.code in ("model_corrupt", "model_unsupported")
    assert not models_dir.is_dir() or not list(models_dir.iterdir())
    assert sorted(path for path in models_dir.parent.iterdir() if path != models_dir) == around
    return str(caught.value)


@pytest.mark.parametrize("name", ["../../../outside", "/tmp/outside-of-it", "..", "a/b", "a\\..\\b", ".hidden"])
def test_a_manifest_cannot_write_outside_its_folder(source: Path, models_dir: Path, name: str) -> None:
    target = source / name
    if name == "../../../outside":
        target = models_dir.parent / "outside"
        target.write_bytes(b"unchanged")
    edit_manifest(source, files={"model.xml": files.sha256(source / "model.xml"), name: "0" * 64})
    assert "outside its own folder" in rejected(source, models_dir)


@pytest.mark.parametrize("name", ["model.bin", "manifest.json", "more.txt"])
def test_a_link_in_a_folder_is_rejected(source: Path, models_dir: Path, tmp_path: Path, name: str) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"for root only")
    secret.chmod(0o600)
    (source / name).unlink(missing_ok=True)
    (source / name).symlink_to(secret)
    assert "is a symbolic link. Copy the folder with `cp -rL`" in rejected(source, models_dir)


def test_a_link_to_the_inner_folder_is_rejected(source: Path, models_dir: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    (outer / "inner").symlink_to(source)
    assert rejected(outer, models_dir)


def test_the_source_itself_may_be_a_link(source: Path, models_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(source)
    assert importing.import_model(tmp_path / "link", models_dir, "new").classes == networks.CLASSES


@pytest.mark.parametrize("name", ["model.bin", "manifest.json", "more.txt"])
def test_a_pipe_in_a_folder_does_not_block(source: Path, models_dir: Path, name: str) -> None:
    (source / name).unlink(missing_ok=True)
    os.mkfifo(source / name)
    assert "is a pipe or a device" in rejected(source, models_dir)


@pytest.mark.parametrize("name", ["model.zip", "model.onnx", "model.tar.gz", "model.pb"])
def test_a_pipe_as_the_source_does_not_block(models_dir: Path, tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    assert "not a regular file" in rejected(tmp_path / name, models_dir)


def test_a_device_as_the_source_is_not_read(models_dir: Path) -> None:
    assert "not a regular file" in rejected(Path("/dev/zero"), models_dir)


def test_a_folder_in_place_of_a_file_is_reported(source: Path, models_dir: Path) -> None:
    (source / "model.bin").unlink()
    (source / "model.bin").mkdir()
    assert f"{source / 'model.bin'} is missing" in rejected(source, models_dir)


def test_a_wrong_folder_is_rejected_before_copying(models_dir: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with (home / "film.mp4").open("wb") as file:
        file.truncate(10**12)
    assert "contains none of manifest.json, metadata.yaml (Ultralytics) and model.toml" in rejected(home, models_dir)


def test_a_file_larger_than_any_model_is_rejected_before_copying(source: Path, models_dir: Path) -> None:
    with (source / "more.bin").open("wb") as file:
        file.truncate(10**12)
    assert "is larger than 2 GB" in rejected(source, models_dir)


def test_a_folder_with_too_many_files_is_rejected(source: Path, models_dir: Path) -> None:
    for number in range(200):
        (source / f"{number}.txt").write_bytes(b"")
    assert "more than 100 files" in rejected(source, models_dir)


@pytest.mark.parametrize("name", ["best.pt", "weights.pth", "best.onnx.zip"])
def test_pytorch_weights_are_rejected_with_the_command_that_converts_them(
    models_dir: Path, tmp_path: Path, name: str
) -> None:
    weights = tmp_path / name
    with zipfile.ZipFile(weights, "w") as packed:
        packed.writestr("best/data.pkl", b"")
        packed.writestr("best/data/0", b"")
    assert rejected(weights, models_dir) == (
        f"{name} contains PyTorch weights. Convert it with: appliance model export {weights}"
    )


def test_a_folder_of_pytorch_weights_is_rejected_too(models_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "best.pt").write_bytes(b"")
    assert f"appliance model export {folder / 'best.pt'}" in rejected(folder, models_dir)


def tar(path: Path, *members: tuple[str, bytes], gz: bool = False) -> Path:
    with tarfile.open(path, "w:gz" if gz else "w") as packed:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            packed.addfile(entry, io.BytesIO(content))
    return path


def zipped(path: Path, *members: tuple[str, bytes], kind: int = stat.S_IFREG) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = (kind | 0o644) << 16
            packed.writestr(info, content)
    return path


@pytest.mark.parametrize("make", [tar, zipped])
@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([("../../outside", b"")], "unexpected path"),
        ([("/tmp/outside-of-it", b"")], "unexpected path"),
        ([("a/x", b""), ("b/y", b"")], "files in several folders"),
        ([("a\x1b[2J", b"")], "invalid file name 'a\\x1b[2J'"),
        ([("x" * 250, b"")], "invalid file name"),
        ([(f"{number}", b"") for number in range(150)], "more than 100 files"),
        ([(f"{number}/", b"") for number in range(1500)], "more than 1000 entries"),
        ([("readme.txt", b"")], "contains none of manifest.json"),
    ],
    ids=lambda one: str(one)[:30],
)
def test_an_archive_of_anything_but_one_model_is_rejected(
    models_dir: Path, tmp_path: Path, make: Callable[..., Path], members: list[tuple[str, bytes]], reason: str
) -> None:
    assert reason in rejected(make(tmp_path / "model.archive", *members), models_dir)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("make", [tar, zipped])
def test_a_duplicate_file_in_an_archive_is_rejected(
    models_dir: Path, tmp_path: Path, make: Callable[..., Path]
) -> None:
    assert "exists" in rejected(make(tmp_path / "model.archive", ("model.xml", b"a"), ("model.xml", b"b")), models_dir)


def test_a_link_in_a_zip_is_rejected(models_dir: Path, tmp_path: Path) -> None:
    archive = zipped(tmp_path / "model.zip", ("model.xml", b"/etc/passwd"), kind=stat.S_IFLNK)
    assert "link or a device" in rejected(archive, models_dir)


def test_a_zip_that_would_fill_the_disk_is_rejected(models_dir: Path, tmp_path: Path) -> None:
    archive = tmp_path / "model.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("model.bin", b"x" * 1234)
    data = archive.read_bytes()
    archive.write_bytes(data.replace((1234).to_bytes(4, "little"), (4 * 10**9).to_bytes(4, "little")))
    assert "is larger than 2 GB" in rejected(archive, models_dir)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_that_would_fill_the_memory_is_rejected(models_dir: Path, tmp_path: Path, method: int) -> None:
    """zipfile unpacks these methods in one piece."""
    with zipfile.ZipFile(tmp_path / "model.zip", "w", method) as packed:
        packed.writestr("model.bin", b"")
    assert "unsupported method. Pack the folder with `zip -r`" in rejected(tmp_path / "model.zip", models_dir)


def test_the_directory_of_a_zip_is_not_read_if_it_is_too_large(models_dir: Path, tmp_path: Path) -> None:
    archive = zipped(tmp_path / "model.zip", ("model.bin", b""))
    end = archive.read_bytes()[-22:]
    claims = bytes(12) + (2 << 20).to_bytes(4, "little")
    archive.write_bytes(bytes(2 << 20) + end[:8] + claims[8:16] + end[16:])
    assert "a header claims 2097152 bytes" in rejected(archive, models_dir)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
@pytest.mark.parametrize("size", [-512, 80_000, 10**9, 10**11])
def test_a_header_that_claims_all_memory_is_rejected(models_dir: Path, tmp_path: Path, kind: bytes, size: int) -> None:
    entry = tarfile.TarInfo("model.bin")
    entry.size, entry.type = size, kind
    (tmp_path / "model.tar").write_bytes(entry.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
    assert "a header claims" in rejected(tmp_path / "model.tar", models_dir)


def test_an_xz_that_claims_all_memory_is_rejected(models_dir: Path, tmp_path: Path) -> None:
    large = [{"id": lzma.FILTER_LZMA2, "dict_size": 192 << 20, "mode": lzma.MODE_FAST, "mf": lzma.MF_HC3, "depth": 1}]
    archive = tmp_path / "model.tar.xz"
    archive.write_bytes(lzma.compress(bytes(10240), filters=large))
    assert "is damaged: Memory usage limit exceeded" in rejected(archive, models_dir)


def test_weights_next_to_a_network_must_not_be_a_link(models_dir: Path, tmp_path: Path, good: Path) -> None:
    shutil.copyfile(good / "model.xml", tmp_path / "net.xml")
    (tmp_path / "net.bin").symlink_to(good / "model.bin")
    with pytest.raises(ModelError, match="symbolic links"):
        importing.import_model(tmp_path / "net.xml", models_dir, "new")


def test_errors_name_the_source_and_not_the_copy(source: Path, models_dir: Path, tmp_path: Path) -> None:
    (source / "model.bin").write_bytes(b"damage")
    assert rejected(source, models_dir).startswith(f"{source / 'model.bin'} is damaged")
    (tmp_path / "model.onnx").write_bytes(b"no network")
    assert rejected(tmp_path / "model.onnx", models_dir).startswith(f"{tmp_path / 'model.onnx'} cannot be read")


def test_a_model_that_does_not_run_is_not_imported(source: Path, models_dir: Path) -> None:
    def fails(folder: Path) -> None:
        assert bundles.read(folder).name == "new"
        raise ModelError(f"{folder} does not run", "model_unsupported")

    with pytest.raises(ModelError, match=f"{source} does not run"):
        importing.import_model(source, models_dir, "new", check_runs=fails)
    assert not list(models_dir.iterdir())


def test_changes_after_the_copy_are_not_imported(source: Path, models_dir: Path) -> None:
    def changes(_: Path) -> None:
        for path in source.iterdir():
            path.unlink()
            path.symlink_to("/etc/passwd")

    digest = files.sha256(source / "model.bin")
    found = importing.import_model(source, models_dir, "new", check_runs=changes)
    assert files.sha256(models_dir / "new" / "model.bin") == digest == found.files["model.bin"]


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar", "bztar", "xztar"])
def test_every_archive_format_is_imported(source: Path, models_dir: Path, tmp_path: Path, kind: str) -> None:
    archive = shutil.make_archive(str(tmp_path / "packed"), kind, source)
    assert importing.import_model(Path(archive), models_dir, "new").classes == networks.CLASSES


@pytest.fixture(scope="module")
def archives(good: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("archives")
    return {
        kind: Path(shutil.make_archive(str(folder / "packed"), kind, good)).read_bytes()
        for kind in ("zip", "tar", "gztar", "bztar", "xztar")
    }


@pytest.mark.filterwarnings("ignore")
@given(
    kind=st.sampled_from(["zip", "tar", "gztar", "bztar", "xztar"]),
    at=st.integers(0, 1 << 16),
    put=st.binary(max_size=6),
    cut=st.integers(0, 600),
    from_end=st.booleans(),
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_damaged_archive_is_imported_or_rejected(
    archives: dict[str, bytes], tmp_path: Path, kind: str, at: int, put: bytes, cut: int, from_end: bool
) -> None:
    data = archives[kind]
    at = len(data) - at % min(400, len(data)) if from_end else at % len(data)
    (tmp_path / "model.archive").write_bytes(data[:at] + put + data[at + cut :])
    try:
        importing.import_model(tmp_path / "model.archive", tmp_path / "models", "new", force=True)
    except ModelError:
        return
    assert not list((tmp_path / "models").glob(".*"))
