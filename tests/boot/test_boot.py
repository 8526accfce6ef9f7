"""Boot: the device detects without manual steps, and the service is restricted as its unit says."""

from __future__ import annotations

import json
from functools import partial

import pytest

from tests.boot.conftest import Measured
from tests.boot.container import Container

pytestmark = pytest.mark.boot


def test_a_device_detects_after_boot_without_manual_steps(device: Container, measured: Measured) -> None:
    assert device.get("/health/ready")[0] == 200
    assert device.show("appliance.service", "NRestarts") == "0"
    started, ready = (
        int(device.show("appliance.service", f"{name}TimestampMonotonic")) / 1e6
        for name in ("InactiveExit", "ActiveEnter")
    )
    booted = int(device.run("systemctl", "show", "--value", "--property=UserspaceTimestampMonotonic")) / 1e6
    measured(f"ready {ready - started:.1f} s after the start of the service, {ready - booted:.1f} s after the boot")


def test_a_camera_attached_to_the_device_gets_answers(device: Container, measured: Measured) -> None:
    device.write("/etc/appliance/camera-gate.env", "SOURCE=demo\n")
    device.run("systemctl", "start", "appliance-camera@gate")
    device.wait_until("answered", lambda: device.answered("gate") >= 3)
    status = device.show("appliance.service", "StatusText")
    device.run("systemctl", "stop", "appliance-camera@gate")
    assert "1 camera" in status
    measured(status)


def test_boot_complete_is_reached_when_the_self_test_passes(device: Container) -> None:
    device.run("systemctl", "start", "boot-complete.target")
    assert "this boot is good" in device.journal("appliance-boot-check.service")


def test_the_service_cannot_write_models_release_or_settings(device: Container) -> None:
    inside = ["nsenter", "--target", device.main_pid(), "--mount", "setpriv", "--reuid=appliance", "--regid=appliance",
              "--clear-groups", "sh", "-c"]  # fmt: skip
    for folder in ("/opt/appliance/models/yolo11n", "/opt/appliance/current", "/etc/appliance", "/usr", "/root"):
        assert device.run(*inside, f"touch {folder}/x 2>/dev/null && echo written", may_fail=True) == "", folder
    for folder in ("/var/lib/appliance", "/var/cache/appliance", "/run/appliance"):
        assert device.run(*inside, f"touch {folder}/x && rm {folder}/x && echo written") == "written", folder


def test_the_service_has_no_privileges_and_a_system_call_filter(device: Container) -> None:
    lines = device.run("cat", f"/proc/{device.main_pid()}/status").splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert status["Uid"].split() == [device.run("id", "-u", "appliance")] * 4
    assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_systemd_passes_secrets_from_files_that_the_service_cannot_read(device: Container) -> None:
    device.write("/etc/appliance/credentials/server.viewer_token", "in the rain\n")
    device.run("chmod", "0600", "/etc/appliance/credentials/server.viewer_token")
    device.run("systemctl", "restart", "appliance")
    assert device.get("/cameras/gate/latest.jpg")[0] == 401
    assert device.get("/cameras/gate/latest.jpg?token=in%20the%20rain")[0] == 404
    device.run("rm", "/etc/appliance/credentials/server.viewer_token")
    device.run("systemctl", "restart", "appliance")


def test_the_journal_entry_of_an_invalid_frame_names_the_camera(device: Container, measured: Measured) -> None:
    device.run("/opt/appliance/current/venv/bin/python", "-c", _SEND_A_BAD_FRAME)
    lines = device.run("journalctl", "--unit", "appliance", "--output", "json", "--no-pager").splitlines()
    (entry,) = [entry for entry in map(json.loads, lines) if entry.get("CAMERA") == "broken-lens" and "CODE" in entry]
    assert entry["FRAME_ID"] == "7"
    measured(entry["MESSAGE"])


def test_stopping_the_target_stops_everything(device: Container) -> None:
    device.run("systemctl", "stop", "appliance.target")
    for unit in ("appliance.service", "appliance.socket"):
        device.wait_until(f"stopped: {unit}", partial(device.is_in_state, unit, "inactive"))
    device.run("systemctl", "start", "appliance.target")
    device.wait_until_active()
    assert device.get("/health/ready")[0] == 200


_SEND_A_BAD_FRAME = """
import asyncio, socketio
async def main():
    device = socketio.AsyncSimpleClient()
    await device.connect("http://127.0.0.1:8080", transports=["websocket"], auth={"name": "broken-lens"})
    await device.emit("process_frame", {"image": b"\\xff\\xd8\\xff\\xe0 no picture", "frame_id": 7})
    while (await device.receive(timeout=20))[0] != "detection_error":
        pass
    await device.disconnect()
asyncio.run(main())
"""
