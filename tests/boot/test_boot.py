"""Boot: the device detects without manual steps, and the service is restricted as its unit says."""

from __future__ import annotations

import json
from functools import partial

import pytest

from tests.boot.conftest import Measured
from tests.boot.container import Container

pytestmark = pytest.mark.boot


def test_a_device_detects_after_boot_without_manual_steps(box: Container, measured: Measured) -> None:
    assert box.get("/health/ready")[0] == 200
    assert box.show("appliance.service", "NRestarts") == "0"
    begun, ready = (
        int(box.show("appliance.service", f"{name}TimestampMonotonic")) / 1e6
        for name in ("InactiveExit", "ActiveEnter")
    )
    booted = int(box.run("systemctl", "show", "--value", "--property=UserspaceTimestampMonotonic")) / 1e6
    measured(f"ready {ready - begun:.1f} s after the service began, {ready - booted:.1f} s after the boot")


def test_a_camera_attached_to_the_device_gets_answers(box: Container, measured: Measured) -> None:
    box.write("/etc/appliance/camera-gate.env", "SOURCE=demo\n")
    box.run("systemctl", "start", "appliance-camera@gate")
    box.wait_until("answered", lambda: box.answered("gate") >= 3)
    status = box.show("appliance.service", "StatusText")
    box.run("systemctl", "stop", "appliance-camera@gate")
    assert "1 camera" in status
    measured(status)


def test_boot_complete_is_reached_when_the_self_test_passes(box: Container) -> None:
    box.run("systemctl", "start", "boot-complete.target")
    assert "this boot is good" in box.journal("appliance-boot-check.service")


def test_the_service_cannot_write_models_release_or_settings(box: Container) -> None:
    inside = ["nsenter", "--target", box.main_pid(), "--mount", "setpriv", "--reuid=appliance", "--regid=appliance",
              "--clear-groups", "sh", "-c"]  # fmt: skip
    for folder in ("/opt/appliance/models/yolo11n", "/opt/appliance/current", "/etc/appliance", "/usr", "/root"):
        assert box.run(*inside, f"touch {folder}/x 2>/dev/null && echo written", fails=True) == "", folder
    for folder in ("/var/lib/appliance", "/var/cache/appliance", "/run/appliance"):
        assert box.run(*inside, f"touch {folder}/x && rm {folder}/x && echo written") == "written", folder


def test_the_service_has_no_privileges_and_a_system_call_filter(box: Container) -> None:
    lines = box.run("cat", f"/proc/{box.main_pid()}/status").splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert status["Uid"].split() == [box.run("id", "-u", "appliance")] * 4
    assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_systemd_passes_secrets_from_files_that_the_service_cannot_read(box: Container) -> None:
    box.write("/etc/appliance/credentials/server.viewer_token", "in the rain\n")
    box.run("chmod", "0600", "/etc/appliance/credentials/server.viewer_token")
    box.run("systemctl", "restart", "appliance")
    assert box.get("/cameras/gate/latest.jpg")[0] == 401
    assert box.get("/cameras/gate/latest.jpg?token=in%20the%20rain")[0] == 404
    box.run("rm", "/etc/appliance/credentials/server.viewer_token")
    box.run("systemctl", "restart", "appliance")


def test_the_journal_entry_of_an_invalid_frame_names_the_camera(box: Container, measured: Measured) -> None:
    box.run("/opt/appliance/current/venv/bin/python", "-c", _SEND_A_BAD_FRAME)
    lines = box.run("journalctl", "--unit", "appliance", "--output", "json", "--no-pager").splitlines()
    (entry,) = [entry for entry in map(json.loads, lines) if entry.get("CAMERA") == "broken-lens" and "CODE" in entry]
    assert entry["FRAME_ID"] == "7"
    measured(entry["MESSAGE"])


def test_stopping_the_target_stops_everything(box: Container) -> None:
    box.run("systemctl", "stop", "appliance.target")
    for unit in ("appliance.service", "appliance.socket"):
        box.wait_until(f"stopped: {unit}", partial(box.is_in_state, unit, "inactive"))
    box.run("systemctl", "start", "appliance.target")
    box.wait_until_active()


_SEND_A_BAD_FRAME = """
import asyncio, socketio
async def main():
    box = socketio.AsyncSimpleClient()
    await box.connect("http://127.0.0.1:8080", transports=["websocket"], auth={"name": "broken-lens"})
    await box.emit("process_frame", {"image": b"\\xff\\xd8\\xff\\xe0 no picture", "frame_id": 7})
    while (await box.receive(timeout=20))[0] != "detection_error":
        pass
    await box.disconnect()
asyncio.run(main())
"""
