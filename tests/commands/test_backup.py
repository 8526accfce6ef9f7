"""`appliance backup` and `appliance restore`, between two devices that are not installed."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pyrage
import pytest

from appliance.cli import main
from appliance.commands.backup import places, restore, sealed
from appliance.device import erasure, state
from appliance.service import entrance, starts, update_news

PASSPHRASE = "correct horse battery"
ABOUT = sealed.About(sealed.FORMAT, "1", "host", "board", "2026-01-01T00:00:00Z", {})


_NOT_IN_A_BACKUP = (starts.NAME, erasure.REQUEST, update_news.REQUEST, entrance.FIRST_TOKEN)
"""A restored device must not erase itself or start an update, and a token is in no file in clear."""


@pytest.fixture(autouse=True)
def quick_key(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """age with a key instead of a passphrase, whose derivation takes a second each time."""
    if "passphrase" in request.function.__name__:
        return
    key = pyrage.x25519.Identity.generate()
    monkeypatch.setattr(pyrage.passphrase, "encrypt", lambda data, _: pyrage.encrypt(data, [key.to_public()]))
    monkeypatch.setattr(pyrage.passphrase, "decrypt", lambda data, _: pyrage.decrypt(data, [key]))


class Device:
    """The folders of one device and the flags of its commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "etc").mkdir(parents=True)
        self.write("etc/appliance.toml", f'[state]\ndir = "{folder}/state"\n[model]\ndir = "{folder}/models"\n')
        self.flags = ["--config", str(folder / "etc/appliance.toml"), "--passphrase-file", str(folder / "passphrase")]
        self.write("passphrase", PASSPHRASE + "\n")

    def write(self, name: str, text: str, mode: int = 0o600) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def files(self, folder: str) -> dict[str, str]:
        root = self.folder / folder
        return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def old(tmp_path: Path) -> Device:
    device = Device(tmp_path / "old")
    for name in ("state/tokens.json", "state/tls/key.pem", "state/history", "models/yolo11n/model.bin",
                 "models/another/model.bin", "models/profile-yolo11n.json", "etc/credentials/mqtt.password",
                 *(f"state/{name}" for name in _NOT_IN_A_BACKUP)):  # fmt: skip
        device.write(name, f"old {name}")
    device.write("models/active.json", json.dumps({"name": "yolo11n", "configured": "yolo11n", "former": []}), 0o644)
    return device


@pytest.fixture
def backup(old: Device, tmp_path: Path) -> Path:
    file = tmp_path / "backup.age"
    assert main(["backup", str(file), *old.flags]) == 0
    return file


@pytest.fixture
def new(tmp_path: Path, old: Device) -> Device:
    device = Device(tmp_path / "new")
    device.write("state/tokens.json", "new")
    device.write("state/cameras.json", "new")
    return device


def test_another_device_takes_the_place_of_the_first(backup: Path, old: Device, new: Device) -> None:
    assert main(["restore", str(backup), "--yes", *new.flags]) == 0
    assert set(new.files("state")) - {"lock"} == {"tokens.json", "tls/key.pem", "history"}
    assert new.files("state")["tls/key.pem"] == "old state/tls/key.pem"
    assert new.files("etc") == old.files("etc")
    assert set(new.files("models")) == {"active.json", "yolo11n/model.bin"}
    assert (new.folder / "state/tls/key.pem").stat().st_mode & 0o777 == 0o600
    assert (new.folder / "models/active.json").stat().st_mode & 0o777 == 0o644


def test_a_backup_of_an_older_version_cannot_start_anything(old: Device, new: Device, tmp_path: Path) -> None:
    contents = [(f"state/{name}", old.folder / "state" / name) for name in ("history", *_NOT_IN_A_BACKUP)]
    sealed_data, _ = sealed.seal(contents, ABOUT, PASSPHRASE)
    file = tmp_path / "older.age"
    file.write_bytes(sealed_data)
    assert main(["restore", str(file), "--yes", *new.flags]) == 0
    assert set(new.files("state")) - {"lock"} == {"history"}


def test_the_requests_that_units_wait_for_are_in_no_backup() -> None:
    """A path unit starts what it waits for as soon as the file is restored."""
    units = Path(__file__).parents[2] / "systemd/units"
    watched = {
        Path(line.partition("=")[2]).name
        for unit in units.glob("*.path")
        for line in unit.read_text(encoding="utf-8").splitlines()
        if line.startswith("Path") and "=/var/lib/appliance/" in line
    }
    assert watched >= {erasure.REQUEST, update_news.REQUEST}
    assert watched <= places.LEFT_OUT


def test_the_file_is_encrypted_and_private(backup: Path) -> None:
    assert b"old state" not in backup.read_bytes()
    assert backup.stat().st_mode & 0o777 == 0o600


def test_without_consent_nothing_is_restored(backup: Path, new: Device, capsys: pytest.CaptureFixture[str]) -> None:
    before = new.files(".")
    assert main(["restore", str(backup), *new.flags]) == 2
    assert new.files(".") == before
    assert "add --yes" in capsys.readouterr().err


def test_nothing_is_restored_while_the_service_runs(
    backup: Path, new: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    with state.open_folder(new.folder / "state"):
        assert main(["restore", str(backup), "--yes", *new.flags]) == 1
    assert "Stop the service first" in capsys.readouterr().err
    assert new.files("state")["tokens.json"] == "new"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[:-100], "damaged"),
        (lambda data: data[:300] + bytes([data[300] ^ 1]) + data[301:], "damaged"),
        (lambda data: b"x" + data, "not a backup"),
        (lambda data: b"", "not a backup"),
    ],
    ids=["cut", "flipped", "foreign", "empty"],
)
def test_a_damaged_backup_changes_nothing(
    backup: Path, new: Device, capsys: pytest.CaptureFixture[str], damage: object, said: str
) -> None:
    backup.write_bytes(damage(backup.read_bytes()))  # type: ignore[operator]
    before = new.files(".")
    assert main(["restore", str(backup), "--yes", *new.flags]) == 1
    assert said in capsys.readouterr().err
    assert new.files(".") == before


def test_a_wrong_passphrase_is_named(backup: Path, new: Device, capsys: pytest.CaptureFixture[str]) -> None:
    new.write("passphrase", "wrong horse battery")
    assert main(["restore", str(backup), "--yes", *new.flags]) == 1
    assert "the passphrase is wrong" in capsys.readouterr().err


def test_a_short_passphrase_is_refused(old: Device, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old.write("passphrase", "secret")
    assert main(["backup", str(tmp_path / "b.age"), *old.flags]) == 1
    assert "at least 12 characters" in capsys.readouterr().err
    assert not (tmp_path / "b.age").exists()


def test_settings_that_this_version_refuses_are_not_restored(
    old: Device, new: Device, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (old.folder / "etc/appliance.toml").open("a") as file:
        file.write("[flow]\nfuture = 1\n")
    contents = [("settings/appliance.toml", old.folder / "etc/appliance.toml")]
    data, _ = sealed.seal(contents, ABOUT, PASSPHRASE)
    (tmp_path / "b.age").write_bytes(data)
    assert main(["restore", str(tmp_path / "b.age"), "--yes", *new.flags]) == 1
    assert "flow.future" in capsys.readouterr().err
    assert new.files("state")["tokens.json"] == "new"


@pytest.mark.parametrize("name", ["state/../../etc/x", "/state/x", "state", "../x", "state//x", "state/./x"])
def test_no_file_is_written_outside_the_places(tmp_path: Path, name: str) -> None:
    where = places.Places(None, tmp_path / "state", tmp_path / "models")
    opened = sealed.Opened(ABOUT, {name: b""})
    with pytest.raises(sealed.BackupError, match="invalid file name"):
        restore.check(opened, where, lambda _: None)


def test_links_are_neither_saved_nor_followed(old: Device, new: Device, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "shadow").write_text("secret")
    (old.folder / "state/shadow").symlink_to(secret / "shadow")
    (old.folder / "state/folder").symlink_to(secret)
    assert main(["backup", str(tmp_path / "b.age"), *old.flags]) == 0
    opened = sealed.unseal((tmp_path / "b.age").read_bytes(), PASSPHRASE)
    assert not [name for name in opened.contents if "shadow" in name]
    (new.folder / "state/tls").symlink_to(secret)
    assert main(["restore", str(tmp_path / "b.age"), "--yes", *new.flags]) == 0
    assert os.listdir(secret) == ["shadow"]


def test_pictures_for_calibration_stay_on_the_device(tmp_path: Path) -> None:
    frames = tmp_path / "state/calibration-frames"
    frames.mkdir(parents=True)
    (frames / "0000.jpg").write_text("a picture")
    (tmp_path / "state/roster.json").write_text("{}")
    found = places.content(places.Places(None, tmp_path / "state", tmp_path / "models"), "yolo11n")
    assert [name for name, _ in found] == ["state/roster.json"]


def test_each_part_of_an_installed_device_has_its_place(tmp_path: Path) -> None:
    device = places.Places(*(tmp_path / name for name in ("etc", "state", "models", "agents", "update")))
    for name in ("etc/appliance.toml", "state/a", "agents/gate/b", "update/root.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    found = dict(places.content(device, "yolo11n"))
    assert found == {name: places.target(device, name) for name in found}
    assert set(found) == {"settings/appliance.toml", "state/a", "agents/gate/b", "update/root.json"}


def test_a_newer_format_is_refused() -> None:
    newer = sealed.About(sealed.FORMAT + 1, "9.9", "host", "board", "", {})
    data, _ = sealed.seal([], newer, PASSPHRASE)
    with pytest.raises(sealed.BackupError, match=r"newer version \(9\.9\)"):
        sealed.unseal(data, PASSPHRASE)


def test_a_folder_that_a_failing_card_does_not_give_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("state/tls", "models"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "state/tls/key.pem").write_text("key")
    where = places.Places(None, tmp_path / "state", tmp_path / "models", tmp_path / "no agents")
    assert [name for name, _ in places.content(where, "yolo")] == ["state/tls/key.pem"]
    scandir = os.scandir

    def failing(path: str) -> object:
        if str(path).endswith("tls"):
            raise OSError(errno.EIO, "Input/output error", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing)
    with pytest.raises(OSError, match="Input/output"):
        list(places.content(where, "yolo"))
