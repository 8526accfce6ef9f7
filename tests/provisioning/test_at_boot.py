"""at_boot.py: host name, SSH keys and files from the boot partition, tested in a directory tree."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import ROOT
from tests.program_files import imported

at_boot = imported(ROOT / "provisioning/at_boot.py")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root file system of a device fresh from an image."""
    for folder in ("boot/firmware", "etc/appliance", "etc/NetworkManager/system-connections"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (tmp_path / "etc/hostname").write_text("raspberrypi\n")
    (tmp_path / "etc/hosts").write_text("127.0.0.1\tlocalhost\n127.0.1.1\traspberrypi\n")
    program = tmp_path / at_boot.APPLIANCE
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m appliance "$@"\n')
    program.chmod(0o755)
    return tmp_path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_device_with_its_images_host_name_is_renamed_once(root: Path) -> None:
    assert list(at_boot.host_name(root)) == ["host name set to appliance-abcdef"]
    assert (root / "etc/hostname").read_text() == "appliance-abcdef\n"
    assert (root / "etc/hosts").read_text() == "127.0.0.1\tlocalhost\n127.0.1.1\tappliance-abcdef\n"
    assert list(at_boot.host_name(root)) == []


def test_a_host_name_set_by_the_user_is_kept(root: Path) -> None:
    (root / "etc/hostname").write_text("gate\n")
    assert list(at_boot.host_name(root)) == []
    assert (root / "etc/hostname").read_text() == "gate\n"


def test_valid_settings_are_applied_and_wiped(root: Path) -> None:
    given_file = root / "boot/firmware/appliance.toml"
    given_file.write_text('[server]\nviewer_token = "secret"\n')
    assert at_boot.main(root) == 0
    applied = root / "etc/appliance/appliance.toml"
    assert applied.read_text() == '[server]\nviewer_token = "secret"\n'
    assert mode(applied) == 0o640
    assert not given_file.exists()


@pytest.mark.parametrize("name", ["appliance.toml", "appliance-wifi.txt"])
def test_a_file_is_wiped_only_after_what_it_says_is_on_the_disk(
    name: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The boot partition is another file system: after a power cut the wiped file alone could be left."""
    text = {"appliance.toml": "[server]\nport = 80\n", "appliance-wifi.txt": "ssid=Yard\npassword=12345678\n"}[name]
    (root / "boot/firmware" / name).write_text(text)
    synced: list[str] = []
    fsync = os.fsync

    def noted(file: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{file}").removeprefix(f"{root}/"))
        fsync(file)

    monkeypatch.setattr(os, "fsync", noted)
    done = list(at_boot.apply_file(name, root))
    assert [line.partition(" ")[0] for line in done] == ["applied"]
    target = {"appliance.toml": "etc/appliance", "appliance-wifi.txt": "etc/NetworkManager/system-connections"}[name]
    assert synced.index(target) < synced.index(f"boot/firmware/{name}") < synced.index("boot/firmware")


def test_a_file_whose_removal_was_cut_short_is_removed(root: Path) -> None:
    for name in at_boot.READERS:
        (root / "boot/firmware" / name).write_bytes(bytes(30))
    assert at_boot.main(root) == 0
    assert not list((root / "boot/firmware").iterdir())


def test_settings_whose_check_hangs_do_not_stop_the_wifi(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_boot, "CHECK_S", 0.1)
    (root / at_boot.APPLIANCE).write_text("#!/bin/sh\nexec sleep 30\n")
    (root / "boot/firmware/appliance.toml").write_text("[server]\nport = 80\n")
    (root / "boot/firmware/appliance-wifi.txt").write_text("ssid=Yard\npassword=12345678\n")
    assert at_boot.main(root) == 1
    assert (root / "boot/firmware/appliance.toml").exists()
    assert (root / "etc/NetworkManager/system-connections/appliance-wifi.nmconnection").exists()


def test_invalid_settings_stay_with_the_reason_in_an_error_file(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = root / "etc/appliance/appliance.toml"
    before.write_text("# as it was\n")
    given_file = root / "boot/firmware/appliance.toml"
    given_file.write_text("[server]\nprot = 80\n")
    (root / "boot/firmware/appliance-wifi.txt").write_text("ssid=Yard\npassword=12345678\n")
    assert at_boot.main(root) == 0
    assert before.read_text() == "# as it was\n"
    assert given_file.exists()
    reason = (root / "boot/firmware/appliance.toml.error.txt").read_text()
    assert "prot" in reason
    assert "port" in reason
    output = capsys.readouterr().out
    assert "is invalid" in output
    assert "applied the Wi-Fi settings for Yard" in output
    given_file.write_text("[server]\nport = 80\n")
    at_boot.main(root)
    assert not list((root / "boot/firmware").iterdir())


def test_wifi_settings_become_a_connection_readable_only_by_root(root: Path) -> None:
    (root / "boot/firmware/appliance-wifi.txt").write_text("SSID = Höfe; 2\r\npassword=a\\b=c;d#e\ncountry=DE\n")
    at_boot.main(root)
    connection = root / "etc/NetworkManager/system-connections/appliance-wifi.nmconnection"
    assert mode(connection) == 0o600
    text = connection.read_text()
    assert f"ssid={''.join(f'{byte};' for byte in 'Höfe; 2'.encode())}" in text
    assert "psk=a\\\\b=c;d#e\n" in text
    assert "ieee80211_regdom=DE" in (root / "etc/modprobe.d/appliance-wifi.conf").read_text()
    assert not (root / "boot/firmware/appliance-wifi.txt").exists()


def test_wifi_settings_go_to_netplan_without_networkmanager(root: Path) -> None:
    (root / "etc/NetworkManager/system-connections").rmdir()
    (root / "etc/NetworkManager").rmdir()
    (root / "etc/netplan").mkdir()
    (root / "boot/firmware/appliance-wifi.txt").write_text('ssid="Yard": x\npassword=12345678\n')
    at_boot.main(root)
    import yaml

    plan = root / "etc/netplan/60-appliance-wifi.yaml"
    assert mode(plan) == 0o600
    points = yaml.safe_load(plan.read_text())["network"]["wifis"]["wlan0"]["access-points"]
    assert points == {'"Yard": x': {"password": "12345678"}}


@pytest.mark.parametrize(
    "text",
    ["", "ssid=\npassword=12345678\n", f"ssid={'x' * 33}\npassword=12345678", "ssid=x\npassword=short",
     "ssid=x\npassword=pässword", "ssid=x\npassword=12345678\ncountry=Germany"],
)  # fmt: skip
def test_invalid_wifi_settings_are_rejected_with_the_reason(text: str, root: Path) -> None:
    path = root / "boot/firmware/appliance-wifi.txt"
    path.write_text(text)
    at_boot.main(root)
    kept = path.read_text(encoding="utf-8")
    assert "short" not in kept
    assert "pässword" not in kept
    assert "12345678" not in kept
    assert kept.endswith("password=\n")
    assert path.with_name("appliance-wifi.txt.error.txt").read_text().strip()
    assert not list((root / "etc/NetworkManager/system-connections").iterdir())


def test_the_wifi_password_is_removed_from_a_file_that_is_not_text(root: Path) -> None:
    path = root / "boot/firmware/appliance-wifi.txt"
    path.write_bytes(b"ssid=x\npassword=\xff\xfesecret88\n")
    assert at_boot.main(root) == 0
    assert b"secret" not in path.read_bytes()


def test_the_wifi_password_is_removed_when_the_disk_is_full(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    path = root / "boot/firmware/appliance-wifi.txt"
    path.write_text("ssid=x\npassword=12345678\n")
    monkeypatch.setattr(at_boot, "write", full)
    (root / "etc/hostname").write_text("gate\n")
    at_boot.main(root)
    assert "12345678" not in path.read_text()
    assert "No space left" in path.with_name("appliance-wifi.txt.error.txt").read_text()


_WIFI = "ssid=Yard\npassword=12345678\n"


def _read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the boot partition one that root too can only read."""
    really = {name: getattr(Path, name) for name in ("open", "write_text", "write_bytes", "unlink")}

    def refusing(name: str) -> Callable[..., object]:
        def call(path: Path, *arguments: Any, **named: Any) -> object:
            reads = name == "open" and (arguments or ("r",))[0] in ("r", "rb")
            if "boot" in path.parts and not reads:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
            return really[name](path, *arguments, **named)

        return call

    for name in really:
        monkeypatch.setattr(Path, name, refusing(name))


@pytest.mark.parametrize("toml", ["[server]\nprot = 80\n", "[server]\nport = 80\n"], ids=["invalid", "valid"])
def test_a_boot_partition_that_cannot_be_written_does_not_stop_the_wifi(
    toml: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "boot/firmware/appliance.toml").write_text(toml)
    (root / "boot/firmware/appliance-wifi.txt").write_text(_WIFI)
    _read_only(monkeypatch)
    at_boot.main(root)
    output = capsys.readouterr().out
    assert "applied the Wi-Fi settings for Yard" in output
    assert (root / "etc/NetworkManager/system-connections/appliance-wifi.nmconnection").exists()
    assert "Read-only file system. Is the boot partition full or read-only?" in output
    if "prot" in toml:
        assert "unknown key" in output, "the reason is nowhere else"


def test_a_file_whose_password_cannot_be_removed_is_named(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "boot/firmware/appliance-wifi.txt").write_text("ssid=\npassword=12345678\n")
    _read_only(monkeypatch)
    at_boot.main(root)
    assert "cannot remove the Wi-Fi password from" in capsys.readouterr().out


def test_ssh_keys_that_cannot_be_made_stop_nothing_else(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "usr/sbin").mkdir(parents=True)
    (root / "usr/sbin/sshd").touch()
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "ssh-keygen").write_text("#!/bin/sh\nexit 1\n")
    (programs / "ssh-keygen").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    (root / "boot/firmware/appliance-wifi.txt").write_text(_WIFI)
    assert at_boot.main(root) == 1
    output = capsys.readouterr().out
    assert "cannot set up the SSH host keys: " in output
    assert output.splitlines()[-1] == "applied the Wi-Fi settings for Yard"


def test_a_host_name_that_could_not_be_set_is_set_at_the_next_boot(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as full:
        full.setattr(at_boot, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        assert at_boot.main(root) == 1
    assert at_boot.main(root) == 0
    assert "appliance-abcdef" in (root / "etc/hosts").read_text()
    assert (root / "etc/hostname").read_text() == "appliance-abcdef\n"


def test_a_second_copy_of_the_wifi_file_is_wiped_too(root: Path) -> None:
    for folder in ("boot/firmware", "boot"):
        (root / folder / "appliance-wifi.txt").write_text("ssid=x\npassword=12345678\n")
    at_boot.main(root)
    assert not (root / "boot/appliance-wifi.txt").exists()
    assert not (root / "boot/firmware/appliance-wifi.txt").exists()


@given(st.text(min_size=1, max_size=8))
def test_the_connection_preserves_every_byte_of_the_ssid(ssid: str) -> None:
    written = at_boot._bytes_of(ssid)
    assert bytes(int(number) for number in written.split(";")[:-1]).decode() == ssid


TOKEN = "edge_0123456789abcdef_" + "x" * 43


def first_start(root: Path, token: str = TOKEN) -> Path:
    """A device whose operator has not signed in yet; the path of its file on the boot partition."""
    (root / at_boot.TOKEN).parent.mkdir(parents=True, exist_ok=True)
    (root / at_boot.TOKEN).write_text(f"{token}\n")
    return root / "boot/firmware/appliance-first-start.txt"


def test_the_operators_first_token_is_on_the_boot_partition_until_it_is_used(root: Path) -> None:
    file = first_start(root)
    at_boot.first_start_file(root)
    assert TOKEN in file.read_text().splitlines()
    assert mode(file) == 0o600
    (root / at_boot.CONSOLE).write_text("Appliance: https://192.168.1.20:8080/\n█▀▄\n")
    at_boot.first_start_file(root)
    assert file.read_text().endswith("Appliance: https://192.168.1.20:8080/\n█▀▄\n")
    (root / at_boot.TOKEN).unlink()
    at_boot.first_start_file(root)
    assert not list((root / "boot/firmware").iterdir())


def test_the_file_of_the_first_start_is_written_once(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = first_start(root)
    at_boot.first_start_file(root)
    written = file.stat().st_ino
    capsys.readouterr()
    at_boot.first_start_file(root)
    assert file.stat().st_ino == written, "a power cut in the middle of a write costs more than the write is worth"
    assert capsys.readouterr().out == ""


def test_a_boot_folder_that_only_this_system_reads_gets_no_token(root: Path) -> None:
    first_start(root)
    (root / "boot/firmware").rmdir()
    at_boot.first_start_file(root)
    assert not list((root / "boot").iterdir())
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/mounts").write_text("/dev/mmcblk0p1 /boot vfat rw,relatime 0 0\n")
    at_boot.first_start_file(root)
    assert TOKEN in (root / "boot/appliance-first-start.txt").read_text()


def test_a_used_token_that_cannot_be_removed_is_named_and_the_others_are_tried(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("boot/firmware", "boot"):
        (root / folder / at_boot.FIRST_START).write_text(TOKEN)
    _read_only(monkeypatch)
    assert at_boot.first_start_file(root) == 0
    assert capsys.readouterr().out.count("cannot remove") == 2


def test_what_is_no_token_is_not_shown(root: Path) -> None:
    file = first_start(root, "root:$6$hash:19000:\\e[2J")
    at_boot.first_start_file(root)
    assert not file.exists()


def test_a_token_that_a_power_cut_left_half_written_is_wiped(root: Path) -> None:
    left = root / "boot/firmware/.appliance-first-start.txt.new"
    left.write_text(TOKEN)
    at_boot.first_start_file(root)
    assert not left.exists()


def test_asking_for_help_changes_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-I", ROOT / "provisioning/at_boot.py", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("usage: ")
