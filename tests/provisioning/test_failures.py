"""A failing installation: it reports the step, the reason and the next action, and rolls back all changes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.boot.conftest import Measured
from tests.provisioning.blank import BlankDevice, booted
from tests.provisioning.conftest import Bundle, offline

pytestmark = [pytest.mark.provision, pytest.mark.slow]

_BUNDLE = ("--bundle", "/media/bundle.tar")
_STEPS = ("machine", "bundle", "python", "release", "units", "settings", "model", "current", "service")


@pytest.fixture(scope="module")
def before(prepared: BlankDevice) -> dict[str, str]:
    return prepared.files()


@pytest.mark.parametrize("step", _STEPS)
def test_a_failing_step_rolls_back_all_changes(
    step: str, prepared: BlankDevice, before: dict[str, str], measured: Measured
) -> None:
    started_s = time.monotonic()
    code, output = prepared.install(*_BUNDLE, APPLIANCE_FAIL_AT=step)
    measured(f"rolled back, no file differs, after {time.monotonic() - started_s:.0f} s")
    _check_refusal(code, output, step, "failure requested")
    assert prepared.leftovers(before) == {}
    assert prepared.get("/health")[0] == 0
    assert prepared.run("sh", "-c", "systemctl list-units --all --plain --no-legend 'appliance*'") == ""


def test_a_damaged_bundle_is_refused(prepared: BlankDevice, before: dict[str, str]) -> None:
    prepared.run(
        "sh", "-c", "cp /media/bundle.tar /tmp/b.tar && printf X | dd of=/tmp/b.tar bs=1 seek=80000000 conv=notrunc"
    )
    code, output = prepared.install("--bundle", "/tmp/b.tar")
    prepared.run("rm", "/tmp/b.tar")
    _check_refusal(code, output, "bundle", "the bundle is damaged (wrong checksum)")
    assert prepared.leftovers(before) == {}


def test_without_network_and_bundle_the_installer_says_to_check_the_network(
    prepared: BlankDevice, before: dict[str, str]
) -> None:
    code, output = prepared.install()
    _check_refusal(code, output, "packages", "apt-get update")
    assert prepared.leftovers(before) == {}


def test_an_installation_that_would_start_in_safe_mode_is_rolled_back(
    prepared: BlankDevice, before: dict[str, str]
) -> None:
    prepared.write("/etc/appliance/appliance.toml", 'profile = "realtime"\n')
    prepared.write("/etc/appliance/credentials/server.api_key", "")
    files = prepared.files()
    code, output = prepared.install(*_BUNDLE)
    _check_refusal(code, output, "service", "server.api_key: is empty")
    assert prepared.leftovers(files) == {}
    prepared.run("rm", "-r", "/etc/appliance")
    assert prepared.leftovers(before) == {}


def test_a_system_with_an_old_systemd_is_refused_at_once(can_provision: None) -> None:
    with booted("bullseye") as device:
        before = device.files()
        code, output = device.install()
        _check_refusal(code, output, "machine", "(bullseye) has systemd 247; 249 or later is required")
        assert device.leftovers(before) == {}


def test_rollback_removes_the_installed_packages(can_provision: None, measured: Measured) -> None:
    with booted("bookworm") as device, device.network():
        before = device.files()
        started_s = time.monotonic()
        code, output = device.install(APPLIANCE_FAIL_AT="packages")
        measured(f"rolled back, no file differs, after {time.monotonic() - started_s:.0f} s")
        _check_refusal(code, output, "packages", "failure requested")
        assert device.leftovers(before) == {}


def test_a_disk_with_too_little_space_is_refused_at_once(bundle: Bundle) -> None:
    with offline(bundle, "--tmpfs=/opt:size=600M,mode=755") as device:
        before = device.files()
        code, output = device.install(*_BUNDLE)
        _check_refusal(code, output, "machine", "/opt has 600 MB free")
        assert device.leftovers(before) == {}


def test_a_disk_that_fills_up_during_installation_is_rolled_back(bundle: Bundle) -> None:
    # Enough space, but room for only 2000 files.
    with offline(bundle, "--tmpfs=/opt:size=2G,nr_inodes=2000,mode=755") as device:
        before = device.files()
        code, output = device.install(*_BUNDLE)
        _check_refusal(code, output, "release", "No space left on device")
        assert device.leftovers(before) == {}
        assert device.run("ls", "/opt") == ""


def test_an_unusable_python_is_refused(bundle: Bundle) -> None:
    pythons = Path.home() / ".pyenv/versions"
    old = next(pythons.glob("3.9.*"), None)
    if old is None:
        pytest.skip("no Python 3.9 in ~/.pyenv")
    with offline(bundle, f"--bind-ro={old}:/usr/local/old") as device:
        _find_libraries(device, "/usr/local/old/lib")
        device.run("install", "-D", "/usr/bin/python3.11", "/home/somebody/python3")
        before = device.files()
        code, output = device.install(*_BUNDLE, PYTHON="/usr/local/old/bin/python3")
        _check_refusal(code, output, "python", "is Python 3.9; 3.10 to 3.13 is required")
        code, output = device.install(*_BUNDLE, PYTHON="/nowhere/python3")
        _check_refusal(code, output, "python", "/nowhere/python3 does not start")
        code, output = device.install(*_BUNDLE, PYTHON="/home/somebody/python3")
        _check_refusal(code, output, "python", "its own account, which cannot read /home/somebody/python3")
        assert device.leftovers(before) == {}


def test_the_installer_uses_the_python_given_in_the_environment(can_provision: None, measured: Measured) -> None:
    pythons = Path.home() / ".pyenv/versions"
    other = next(pythons.glob("3.12.*"), None)
    if other is None:
        pytest.skip("no Python 3.12 in ~/.pyenv")
    with booted("bookworm", options=[f"--bind-ro={other}:/usr/local/other"]) as device, device.network():
        _find_libraries(device, "/usr/local/other/lib")
        code, output = device.install(PYTHON="/usr/local/other/bin/python3.12")
        assert code == 0, output
        assert device.get("/health/ready")[0] == 200
        measured(device.run("/opt/appliance/current/venv/bin/python", "--version"))


def _find_libraries(device: BlankDevice, folder: str) -> None:
    """Make the loader find the libraries of a relocated Python."""
    device.write("/etc/ld.so.conf.d/python.conf", f"{folder}\n")
    device.run("ldconfig")


def _check_refusal(code: int, output: str, step: str, why: str) -> None:
    assert code == 1, output
    assert f'the step "{step}" failed' in output
    assert why in output
    assert "  → " in output
    assert "cannot undo" not in output
    assert output.rstrip().endswith("All changes were undone; the machine is as before.")
