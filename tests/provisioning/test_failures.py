"""A failing installation: it reports the step, the reason and the next action, and rolls back all changes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.boot.conftest import Measured
from tests.provisioning.blank import Box, booted
from tests.provisioning.conftest import Bundle, offline

pytestmark = [pytest.mark.provision, pytest.mark.slow]

_BUNDLE = ("--bundle", "/media/bundle.tar")
_STEPS = ("machine", "bundle", "python", "release", "units", "settings", "model", "current", "service")


@pytest.fixture(scope="module")
def before(prepared: Box) -> dict[str, str]:
    return prepared.files()


@pytest.mark.parametrize("step", _STEPS)
def test_a_failing_step_rolls_back_all_changes(
    step: str, prepared: Box, before: dict[str, str], measured: Measured
) -> None:
    begun_s = time.monotonic()
    code, said = prepared.install(*_BUNDLE, APPLIANCE_FAIL_AT=step)
    measured(f"rolled back, no file differs, after {time.monotonic() - begun_s:.0f} s")
    _check_refusal(code, said, step, "failure requested")
    assert prepared.leftovers(before) == {}
    assert prepared.get("/health")[0] == 0
    assert prepared.run("sh", "-c", "systemctl list-units --all --plain --no-legend 'appliance*'") == ""


def test_a_damaged_bundle_is_refused(prepared: Box, before: dict[str, str]) -> None:
    prepared.run(
        "sh", "-c", "cp /media/bundle.tar /tmp/b.tar && printf X | dd of=/tmp/b.tar bs=1 seek=80000000 conv=notrunc"
    )
    code, said = prepared.install("--bundle", "/tmp/b.tar")
    prepared.run("rm", "/tmp/b.tar")
    _check_refusal(code, said, "bundle", "the bundle is damaged (wrong checksum)")
    assert prepared.leftovers(before) == {}


def test_without_network_and_bundle_the_installer_says_to_check_the_network(
    prepared: Box, before: dict[str, str]
) -> None:
    code, said = prepared.install()
    _check_refusal(code, said, "packages", "apt-get update")
    assert prepared.leftovers(before) == {}


def test_an_installation_that_would_start_in_safe_mode_is_rolled_back(prepared: Box, before: dict[str, str]) -> None:
    prepared.write("/etc/appliance/appliance.toml", 'profile = "realtime"\n')
    prepared.write("/etc/appliance/credentials/server.api_key", "")
    files = prepared.files()
    code, said = prepared.install(*_BUNDLE)
    _check_refusal(code, said, "service", "server.api_key: is empty")
    assert prepared.leftovers(files) == {}
    prepared.run("rm", "-r", "/etc/appliance")
    assert prepared.leftovers(before) == {}


def test_a_system_with_an_old_systemd_is_refused_at_once(can_provision: None) -> None:
    with booted("bullseye") as box:
        before = box.files()
        code, said = box.install()
        _check_refusal(code, said, "machine", "(bullseye) has systemd 247; 249 or later is required")
        assert box.leftovers(before) == {}


def test_rollback_removes_the_installed_packages(can_provision: None, measured: Measured) -> None:
    with booted("bookworm") as box, box.network():
        before = box.files()
        begun_s = time.monotonic()
        code, said = box.install(APPLIANCE_FAIL_AT="packages")
        measured(f"rolled back, no file differs, after {time.monotonic() - begun_s:.0f} s")
        _check_refusal(code, said, "packages", "failure requested")
        assert box.leftovers(before) == {}


def test_a_disk_with_too_little_space_is_refused_at_once(bundle: Bundle) -> None:
    with offline(bundle, "--tmpfs=/opt:size=600M,mode=755") as box:
        before = box.files()
        code, said = box.install(*_BUNDLE)
        _check_refusal(code, said, "machine", "/opt has 600 MB free")
        assert box.leftovers(before) == {}


def test_a_disk_that_fills_up_during_installation_is_rolled_back(bundle: Bundle) -> None:
    # Enough space, but room for only 2000 files.
    with offline(bundle, "--tmpfs=/opt:size=2G,nr_inodes=2000,mode=755") as box:
        before = box.files()
        code, said = box.install(*_BUNDLE)
        _check_refusal(code, said, "release", "No space left on device")
        assert box.leftovers(before) == {}
        assert box.run("ls", "/opt") == ""


def test_an_unusable_python_is_refused(bundle: Bundle) -> None:
    pythons = Path.home() / ".pyenv/versions"
    old = next(pythons.glob("3.9.*"), None)
    if old is None:
        pytest.skip("no Python 3.9 in ~/.pyenv")
    with offline(bundle, f"--bind-ro={old}:/usr/local/old") as box:
        _find_libraries(box, "/usr/local/old/lib")
        box.run("install", "-D", "/usr/bin/python3.11", "/home/somebody/python3")
        before = box.files()
        code, said = box.install(*_BUNDLE, PYTHON="/usr/local/old/bin/python3")
        _check_refusal(code, said, "python", "is Python 3.9; 3.10 to 3.13 is required")
        code, said = box.install(*_BUNDLE, PYTHON="/nowhere/python3")
        _check_refusal(code, said, "python", "/nowhere/python3 does not start")
        code, said = box.install(*_BUNDLE, PYTHON="/home/somebody/python3")
        _check_refusal(code, said, "python", "its own account, which cannot read /home/somebody/python3")
        assert box.leftovers(before) == {}


def test_the_installer_uses_the_python_given_in_the_environment(can_provision: None, measured: Measured) -> None:
    pythons = Path.home() / ".pyenv/versions"
    other = next(pythons.glob("3.12.*"), None)
    if other is None:
        pytest.skip("no Python 3.12 in ~/.pyenv")
    with booted("bookworm", options=[f"--bind-ro={other}:/usr/local/other"]) as box, box.network():
        _find_libraries(box, "/usr/local/other/lib")
        code, said = box.install(PYTHON="/usr/local/other/bin/python3.12")
        assert code == 0, said
        assert box.get("/health/ready")[0] == 200
        measured(box.run("/opt/appliance/current/venv/bin/python", "--version"))


def _find_libraries(box: Box, folder: str) -> None:
    """Make the loader find the libraries of a relocated Python."""
    box.write("/etc/ld.so.conf.d/python.conf", f"{folder}\n")
    box.run("ldconfig")


def _check_refusal(code: int, said: str, step: str, why: str) -> None:
    assert code == 1, said
    assert f'the step "{step}" failed' in said
    assert why in said
    assert "  → " in said
    assert "cannot undo" not in said
    assert said.rstrip().endswith("All changes were undone; the machine is as before.")
