"""A device without a network: install from a bundle, check, reinstall, process a frame, uninstall.

The tests share one device and run in this order.
"""

from __future__ import annotations

import time

import pytest

from tests.boot.conftest import Measured
from tests.provisioning.blank import FIRST_TOKEN, BlankDevice, ask

pytestmark = pytest.mark.provision

_BUNDLE = ("--bundle", "/media/bundle.tar")
_APPLIANCE = "/usr/local/bin/appliance"
_BOOT = "/boot/firmware"
_UNITS = "/etc/systemd/system"
_UNINSTALL = "/opt/appliance/current/provisioning/uninstall.sh"


@pytest.fixture(scope="module")
def before(prepared: BlankDevice) -> dict[str, str]:
    """The files on its disk before the installation."""
    return prepared.files()


def test_one_command_installs_a_ready_device(prepared: BlankDevice, before: dict[str, str], measured: Measured) -> None:
    started_s = time.monotonic()
    code, output = prepared.install(*_BUNDLE)
    taken_s = time.monotonic() - started_s
    assert code == 0, output
    assert output.splitlines()[-1].endswith("is active: no network address yet")
    assert prepared.get("/health/ready")[0] == 200
    status, report = prepared.get("/health")
    assert (status, report["status"]) == (200, "ok"), report["findings"]
    size_mb = prepared.run("du", "-sm", "/opt/appliance").split()[0]
    measured(f"ready after {taken_s:.0f} s, {size_mb} MB")


def test_every_check_of_doctor_passes(prepared: BlankDevice) -> None:
    code, output = prepared.tried(_APPLIANCE, "doctor")
    assert code == 0, output
    assert "test image recognised" in output


def test_a_second_run_changes_nothing(prepared: BlankDevice, measured: Measured) -> None:
    files, serial = prepared.files(), prepared.serial()
    started_s = time.monotonic()
    code, output = prepared.install(*_BUNDLE)
    taken_s = time.monotonic() - started_s
    assert code == 0, output
    changed = set(prepared.leftovers(files))
    assert changed <= {"/var/lib/appliance/history"}, "the running service saves it once a minute"
    assert prepared.serial() == serial, "the service was restarted"
    measured(f"{taken_s:.0f} s, no file differs, the service was not restarted")


def test_plugging_in_the_cable_later_shows_the_address_and_allows_frames(
    prepared: BlankDevice, measured: Measured
) -> None:
    prepared.run("mkdir", "-p", _BOOT)
    prepared.run("systemctl", "restart", "--no-block", "appliance-console")
    prepared.wait_until("the token on the boot partition", lambda: prepared.run("ls", _BOOT))
    token = prepared.run("cat", FIRST_TOKEN).strip()
    assert token in prepared.run("cat", f"{_BOOT}/appliance-first-start.txt"), "needs no network"
    with prepared.network() as port:
        issue = "/run/issue.d/appliance.issue"
        prepared.wait_until("the address on the console", lambda: "https://" in prepared.run("cat", issue))
        shown = prepared.run("cat", issue)
        assert shown.startswith("Appliance: https://10.0.2.100:8080/\n")
        assert token in shown
        answer = ask(port, token)
        assert [found["name"] for found in answer["detections"]] == ["stop sign"], answer
        prepared.wait_until("the used token wiped", lambda: not prepared.run("ls", _BOOT), patience_s=150)
        prepared.wait_until("the console without it", lambda: token not in prepared.run("cat", issue, may_fail=True))
    prepared.run("rmdir", _BOOT)
    measured(f"frame answered in {answer['timing']['total_ms']:.0f} ms; address and code on the console")


def test_uninstall_with_keep_state_leaves_settings_models_and_state(
    prepared: BlankDevice, before: dict[str, str]
) -> None:
    prepared.run("touch", "/var/lib/appliance/kept")
    drop_in = f"{_UNITS}/appliance.service.d/override.conf"
    prepared.write(drop_in, "[Unit]\nDescription=Edge detection at gate 3\n")
    code, output = prepared.tried(_UNINSTALL, "--keep-state")
    assert code == 0, output
    assert "at gate 3" in prepared.run("cat", drop_in)
    kept = {path for path in prepared.leftovers(before) if not path.startswith("/etc/") or "appliance" in path}
    roots = ("/opt/appliance", "/etc/appliance", "/var/lib/appliance")
    assert {path for path in kept if not path.startswith(roots)} <= {f"{_UNITS}/appliance.service.d", drop_in}
    named = output.strip().splitlines()[-1].partition("Kept: ")[2].split()
    assert named == [
        "/etc/appliance",
        "/etc/appliance-update",
        "/opt/appliance/models",
        "/var/lib/appliance",
        f"{_UNITS}/appliance.service.d",
    ]
    assert {
        "/etc/appliance/appliance.toml",
        "/opt/appliance/models/yolo11n/model.bin",
        "/var/lib/appliance/kept",
    } <= kept


def test_uninstall_removes_everything(prepared: BlankDevice, before: dict[str, str], measured: Measured) -> None:
    prepared.write(_APPLIANCE, "of somebody else")
    code, output = prepared.install(*_BUNDLE, APPLIANCE_FAIL_AT="service")
    assert code == 1, output
    assert prepared.run("cat", _APPLIANCE) == "of somebody else"
    code, output = prepared.install(*_BUNDLE)
    assert code == 0, output
    assert f"the former {_APPLIANCE} is now {_APPLIANCE}.before" in output
    assert "/etc/appliance/appliance.toml unchanged" in output
    assert "at gate 3" in prepared.run("cat", f"{_UNITS}/appliance.service.d/override.conf")
    code, output = prepared.tried(_UNINSTALL)
    assert code == 0, output
    assert prepared.run("cat", _APPLIANCE) == "of somebody else"
    prepared.run("rm", _APPLIANCE)
    assert prepared.leftovers(before) == {}
    measured(f"{len(before)} files compared with those from before, none differs")
