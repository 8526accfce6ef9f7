"""A device without a battery-backed clock: it boots in 1970 and jumps; the network may come up much later."""

from __future__ import annotations

import subprocess

import pytest

from tests.boot.cable import camera_on_a_cable
from tests.boot.conftest import Measured
from tests.boot.container import Container

pytestmark = pytest.mark.boot

_SERVICE = "appliance.service"
_CLOCK = "/run/clock"
_FAKETIME = """[Service]
Environment=LD_PRELOAD=%s
Environment=FAKETIME_TIMESTAMP_FILE=/run/clock FAKETIME_NO_CACHE=1 DONT_FAKE_MONOTONIC=1 FAKETIME_DONT_FAKE_MONOTONIC=1
"""


def test_a_clock_jump_of_fifty_years_does_not_interrupt_detection(device: Container, measured: Measured) -> None:
    library = device.run("sh", "-c", "ls /usr/lib/*/faketime/libfaketimeMT.so.1")
    device.write(_CLOCK, "@1970-01-01 00:01:00\n")
    device.drop_in(_SERVICE, _FAKETIME % library)
    device.run("systemctl", "restart", _SERVICE)
    device.write("/etc/appliance/camera-gate.env", "SOURCE=demo\n")
    device.run("systemctl", "start", "appliance-camera@gate")
    device.wait_until("answering", lambda: device.answered("gate") >= 2)
    invocation, before = device.show(_SERVICE, "InvocationID"), device.get("/health")[1]
    device.write(_CLOCK, "@2020-01-01 00:01:00\n")
    answered = device.answered("gate")
    device.wait_until("answering", lambda: device.answered("gate") >= answered + 3)
    after = device.get("/health")[1]
    assert before["timestamp_iso"].startswith("1970-")
    assert after["timestamp_iso"].startswith("2020-")
    assert after["status"] == before["status"] == "ok", after["findings"]
    assert device.show(_SERVICE, "InvocationID") == invocation, "it was restarted"
    measured(
        f"{before['timestamp_iso']} to {after['timestamp_iso']}, {answered} frames before, 3 more after, no restart"
    )


def test_clients_are_served_when_the_network_comes_up_after_the_service(device: Container) -> None:
    assert device.get("/health/ready")[0] == 200
    with camera_on_a_cable(device) as camera:
        script = (
            "import ssl, urllib.request as r;"
            "c = ssl.create_default_context(); c.check_hostname, c.verify_mode = False, ssl.CERT_NONE;"
            "print(r.urlopen('https://192.168.77.1:8080/health/ready', context=c).status)"
        )
        done = subprocess.run([*camera, "/usr/bin/python3", "-c", script], capture_output=True, text=True, timeout=60)
        assert done.stdout.strip() == "200", done.stderr
