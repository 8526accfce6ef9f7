"""Importing models into the models folder, and removing them."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from appliance.errors import ModelError
from appliance.models import active, store
from appliance.models import bundle as bundles
from appliance.workshop import importing
from appliance.workshop.declared import Declaration
from tests.models import networks
from tests.models.bundles import export_folder, make_bundles


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A folder as `yolo export format=openvino dynamic=True` writes it."""
    return export_folder(tmp_path / "best_openvino_model")


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """A bundle in another folder."""
    return make_bundles(tmp_path, "elsewhere") / "elsewhere"


def rejected(source: Path, models_dir: Path, name: str = "new", *, force: bool = False) -> tuple[str, str]:
    """The code and text of the error, which leaves no files behind."""
    before = store.names(models_dir)
    with pytest.raises(ModelError) as caught:
        importing.import_model(source, models_dir, name, force=force)
    assert store.names(models_dir) == before
    assert not models_dir.is_dir() or not list(models_dir.glob(".*"))
    return caught.value.code, str(caught.value)


def test_an_imported_export_gets_a_manifest_that_detects_damage(export: Path, models_dir: Path) -> None:
    found = importing.import_model(export, models_dir, "gate")
    assert (found.name, found.head, found.classes, found.license) == ("gate", "anchors", networks.CLASSES, "AGPL-3.0")
    assert set(found.files) == {"best.xml", "best.bin", "metadata.yaml"}
    assert found.source == export.name
    (models_dir / "gate" / "best.bin").write_bytes(b"damage")
    with pytest.raises(ModelError, match="wrong sha256"):
        bundles.read(models_dir / "gate")


def test_an_imported_bundle_keeps_its_manifest(ours: Path, models_dir: Path) -> None:
    before = bundles.read(ours)
    found = importing.import_model(ours, models_dir, "new")
    assert (found.source, found.tools, found.files) == ("a test", before.tools, before.files)
    assert found.name == "new"


@pytest.mark.parametrize("kind", ["zip", "gztar", "tar"])
@pytest.mark.parametrize("deep", [True, False], ids=["with the folder", "files only"])
def test_an_archive_of_a_folder_is_imported(export: Path, models_dir: Path, kind: str, deep: bool) -> None:
    base = str(export.parent / "packed")
    archive = shutil.make_archive(base, kind, export.parent if deep else export, export.name if deep else ".")
    assert importing.import_model(Path(archive), models_dir, "new").classes == networks.CLASSES


@pytest.mark.parametrize("member", ["../../outside.txt", "/tmp/outside.txt", "a/b/c/deep.xml", "..", "a\\..\\b"])
def test_an_archive_with_paths_outside_its_folder_is_rejected(tmp_path: Path, models_dir: Path, member: str) -> None:
    archive = tmp_path / "evil.tar"
    with tarfile.open(archive, "w") as packed:
        entry = tarfile.TarInfo(member)
        entry.size = 4
        packed.addfile(entry, io.BytesIO(b"evil"))
    assert rejected(archive, models_dir)[0] == "model_corrupt"
    assert not list(tmp_path.rglob("outside.txt"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_an_archive_with_a_link_or_a_device_is_rejected(tmp_path: Path, models_dir: Path, kind: bytes) -> None:
    archive = tmp_path / "evil.tar"
    with tarfile.open(archive, "w") as packed:
        entry = tarfile.TarInfo("model.xml")
        entry.type, entry.linkname = kind, "/etc/hostname"
        packed.addfile(entry)
    code, text = rejected(archive, models_dir)
    assert code == "model_corrupt"
    assert "link or a device" in text


def test_an_archive_that_would_fill_the_disk_is_rejected(tmp_path: Path, models_dir: Path) -> None:
    archive = tmp_path / "bomb.tar"
    entry = tarfile.TarInfo("model.bin")
    entry.size = 10**13
    archive.write_bytes(entry.tobuf() + bytes(10240))
    assert "larger than 2 GB" in rejected(archive, models_dir)[1]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"just words" * 200])
def test_a_file_that_is_not_an_archive_is_rejected(tmp_path: Path, models_dir: Path, content: bytes) -> None:
    (tmp_path / "model.zip").write_bytes(content)
    assert rejected(tmp_path / "model.zip", models_dir)[0] in ("model_corrupt", "model_unsupported")


def test_a_truncated_archive_is_rejected(export: Path, models_dir: Path) -> None:
    archive = Path(shutil.make_archive(str(export.parent / "packed"), "gztar", export))
    archive.write_bytes(archive.read_bytes()[:-200])
    assert rejected(archive, models_dir)[0] == "model_corrupt"


def test_a_damaged_bundle_is_rejected(ours: Path, models_dir: Path) -> None:
    (ours / "model.bin").write_bytes(b"damage")
    assert rejected(ours, models_dir)[0] == "model_corrupt"


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "..", "a\\b", "/abs"])
def test_an_invalid_name_is_rejected(export: Path, models_dir: Path, name: str) -> None:
    assert rejected(export, models_dir, name)[0] == "model_unsupported"


def test_a_model_is_replaced_only_with_force(export: Path, ours: Path, models_dir: Path) -> None:
    importing.import_model(export, models_dir, "new")
    assert "--force" in rejected(ours, models_dir)[1]
    importing.import_model(ours, models_dir, "new", force=True)
    assert bundles.read(models_dir / "new").network.name == "model.xml"


def test_a_missing_source_or_model_is_reported(tmp_path: Path, models_dir: Path, export: Path) -> None:
    assert rejected(tmp_path / "nowhere.zip", models_dir)[0] == "model_missing"
    importing.import_model(export, models_dir, "gate")
    with pytest.raises(ModelError, match="did you mean 'gate'"):
        store.folder_of(models_dir, "gatr")
    with pytest.raises(ModelError, match=r"no model '\.\./elsewhere'"):
        store.folder_of(models_dir, "../elsewhere")


def test_models_can_be_removed_unless_they_are_in_use(export: Path, models_dir: Path) -> None:
    for name in ("first", "second", "third"):
        importing.import_model(export, models_dir, name)
    active.activate(models_dir, "second", "first")
    store.remove(models_dir, "third", "first")
    assert store.names(models_dir) == ["first", "second"]
    for name in ("first", "second"):
        with pytest.raises(ModelError, match=r"in use\. Activate another") as caught:
            store.remove(models_dir, name, "first")
        assert caught.value.code == "model_not_activated"
    with pytest.raises(ModelError) as caught:
        store.remove(models_dir, "third", "first")
    assert caught.value.code == "model_missing"


def test_files_that_macos_adds_to_a_zip_are_ignored(export: Path, models_dir: Path) -> None:
    archive = export.parent / "packed.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for file in export.iterdir():
            packed.write(file, f"{export.name}/{file.name}")
        packed.writestr("__MACOSX/._best.xml", b"finder")
    assert importing.import_model(archive, models_dir, "new").classes == networks.CLASSES


def test_an_error_names_the_source_when_the_models_folder_is_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.onnx").write_bytes(b"no network")
    with pytest.raises(ModelError, match=r"^\./net\.onnx cannot be read"):
        importing.import_model(Path("net.onnx"), Path("models"), "new", declaration=Declaration("yolox"))


def test_two_imports_of_one_name_do_not_replace_each_other(ours: Path, export: Path, models_dir: Path) -> None:
    def imports_too(_: Path) -> None:
        importing.import_model(export, models_dir, "new")

    with pytest.raises(ModelError, match=r"models/new: already exists: another command has just made it"):
        importing.import_model(ours, models_dir, "new", check_runs=imports_too)
    assert bundles.read(models_dir / "new").source == export.name
    assert store.names(models_dir) == ["new"]
