"""erase.py: what is erased and what is not, tested in a directory tree."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.program_files import imported

erase = imported(ROOT / "provisioning/erase.py")

STATE = ("var/lib/appliance/history", "var/lib/appliance/tls/key.pem", "var/lib/appliance/tokens.json",
         "var/cache/appliance/compiled/a.blob",
         "var/lib/private/appliance-camera/gate/own-token")  # fmt: skip
WIFI = ("etc/NetworkManager/system-connections/appliance-wifi.nmconnection", "boot/firmware/appliance-wifi.txt",
        "boot/firmware/appliance-first-start.txt", "run/issue.d/.token")  # fmt: skip
SETTINGS = ("etc/appliance/appliance.toml", "etc/appliance/credentials/server.viewer_token",
            "etc/appliance/camera-gate.env", "etc/appliance/tls/privkey.pem")  # fmt: skip
OTHERS = ("etc/NetworkManager/system-connections/office.nmconnection", "etc/ssh/ssh_host_ed25519_key",
          "opt/appliance/models/yolo11n/model.bin", "srv/seen/holiday.jpg")  # fmt: skip
PICTURE = "srv/seen/00000001_20261128T120000_person.jpg"
SECRET = b"secret of this site"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in (*STATE, *WIFI, *SETTINGS, *OTHERS, PICTURE):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(SECRET)
    program = tmp_path / erase.APPLIANCE
    program.parent.mkdir(parents=True)
    program.write_text(
        f"#!/bin/sh\ncase $1 in config) echo 'save_dir = \"{tmp_path}/srv/seen\"' ;; board) echo '# default' ;; esac\n"
    )
    program.chmod(0o755)
    return tmp_path


def left(root: Path) -> set[str]:
    """Files that still contain the secret."""
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.read_bytes() == SECRET}


def test_erasing_keeps_the_settings(root: Path) -> None:
    assert erase.main(root, factory_reset=False) == 0
    assert left(root) == {*SETTINGS, *OTHERS}
    assert (root / "var/lib/appliance").is_dir(), "systemd has set its owner"


def test_a_factory_reset_leaves_the_settings_of_the_installation(root: Path) -> None:
    assert erase.main(root, factory_reset=True) == 0
    assert left(root) == set(OTHERS)
    written = root / "etc/appliance/appliance.toml"
    assert written.read_text() == "# default\n"
    assert written.stat().st_mode & 0o777 == 0o640
    assert (root / "etc/appliance/credentials").is_dir()


def test_content_is_overwritten_before_it_is_removed(root: Path) -> None:
    token = root / "var/lib/appliance/tokens.json"
    with token.open("rb") as still_open:
        erase.main(root, factory_reset=False)
        assert still_open.read() == bytes(len(SECRET))


def test_links_are_removed_and_never_followed(root: Path) -> None:
    """The service owns its folder, and whoever has taken it over can put anything there."""
    (root / "var/lib/appliance/to-a-file").symlink_to(root / "etc/ssh/ssh_host_ed25519_key")
    (root / "var/lib/appliance/to-a-folder").symlink_to(root / "etc/ssh")
    os.link(root / "opt/appliance/models/yolo11n/model.bin", root / "var/lib/appliance/same-file")
    os.mkfifo(root / "var/lib/appliance/pipe")
    assert erase.main(root, factory_reset=False) == 0
    assert set(OTHERS) <= left(root)
    assert list((root / "var/lib/appliance").iterdir()) == []


def test_without_a_working_release_the_rest_is_erased(root: Path) -> None:
    (root / erase.APPLIANCE).unlink()
    assert erase.main(root, factory_reset=True) == 0
    assert left(root) == {*OTHERS, PICTURE}


@pytest.mark.parametrize(("text", "wish"), [("erase\n", "erase"), ("factory-reset\n", "factory-reset")])
def test_a_request_of_the_service_is_one_of_two_words_and_is_carried_out_once(root: Path, text: str, wish: str) -> None:
    (root / erase.REQUEST).write_text(text)
    assert erase.requested(root) == wish
    assert erase.carry_out(root) == 0
    assert left(root) == {*OTHERS, *(SETTINGS if wish == "erase" else ())}
    assert not (root / erase.REQUEST).exists()
    assert erase.carry_out(root) == 1


@pytest.mark.parametrize("text", ["rm -rf /\n", ""])
def test_a_request_for_anything_else_is_removed(root: Path, text: str) -> None:
    (root / erase.REQUEST).write_text(text)
    assert erase.carry_out(root) == 1
    assert not (root / erase.REQUEST).exists()
    assert set(STATE) <= left(root)


def test_a_request_that_is_a_link_is_refused(root: Path) -> None:
    (root / erase.REQUEST).symlink_to(root / "etc/ssh/ssh_host_ed25519_key")
    assert erase.requested(root) is None
    assert set(OTHERS) <= left(root)


def test_a_request_that_was_cut_short_goes_on(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a power cut, or because systemd has waited long enough for a slow card."""
    (root / erase.REQUEST).write_text("factory-reset\n")
    overwrite = erase.overwrite

    def until_the_pictures(path: Path) -> None:
        if path.name == Path(PICTURE).name:
            erase.end(signal.SIGTERM, None)
        overwrite(path)

    with monkeypatch.context() as during:
        during.setattr(erase, "overwrite", until_the_pictures)
        with pytest.raises(SystemExit):
            erase.carry_out(root)
    assert not {*STATE, *WIFI} & left(root)
    assert {*SETTINGS, PICTURE} <= left(root)
    assert erase.carry_out(root) == 0
    assert left(root) == set(OTHERS)


def test_the_service_is_started_again_when_systemd_ends_the_erasure(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(erase, "systemctl", lambda root, *arguments: asked.append(arguments[0]))
    monkeypatch.setattr(erase, "overwrite", lambda path: erase.end(signal.SIGTERM, None))
    with pytest.raises(SystemExit, match="SIGTERM"):
        erase.main(root, factory_reset=False)
    assert asked == ["stop", "start"]


def test_a_request_made_as_soon_as_the_service_runs_again_is_kept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemctl returns when the service is ready: it may have asked again by then."""

    def systemctl(root: Path, verb: str, *_: str) -> None:
        if verb == "start":
            assert not (root / erase.REQUEST).exists()
            (root / erase.REQUEST).write_text("factory-reset")

    (root / erase.REQUEST).write_text("erase")
    monkeypatch.setattr(erase, "systemctl", systemctl)
    assert erase.carry_out(root) == 0
    assert erase.requested(root) == "factory-reset"
