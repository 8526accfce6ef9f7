"""Units that wait or fail for years: the console without a network, and requests that cannot be carried out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.boot.cable import camera_on_a_cable
from tests.boot.conftest import Measured
from tests.boot.container import Container

pytestmark = pytest.mark.boot

_CONSOLE = "appliance-console.service"
_ISSUE = "/run/issue.d/appliance.issue"
_SOON = "[Timer]\nOnUnitInactiveSec=\nOnUnitInactiveSec=2s\n"


@contextmanager
def changed(device: Container, unit: str, text: str) -> Iterator[None]:
    """A unit with other settings, until the block ends."""
    device.drop_in(unit, text)
    try:
        yield
    finally:
        device.run("rm", "-r", f"/etc/systemd/system/{unit}.d")
        device.run("systemctl", "daemon-reload")


def _instead(command: str) -> str:
    return f"[Service]\nExecStart=\nExecStart=+/bin/sh -c '{command}'\n"


def _starts(device: Container, file: str) -> int:
    return len(device.run("cat", file, may_fail=True).splitlines())


def test_the_console_of_a_device_without_a_network_says_what_to_do_and_waits(
    device: Container, measured: Measured
) -> None:
    with changed(device, _CONSOLE, "[Service]\nRestartSec=1s\n"):
        device.run("systemctl", "restart", _CONSOLE)
        device.wait_until("advice on the console", lambda: "Check the network cable" in device.run("cat", _ISSUE))
        lines = device.journal(_CONSOLE)
        again = int(device.show(_CONSOLE, "NRestarts")) + 3
        device.wait_until("another look", lambda: int(device.show(_CONSOLE, "NRestarts")) >= again)
        assert device.journal(_CONSOLE) == lines
        assert _CONSOLE not in device.run("systemctl", "list-units", "--failed", "--plain", "--no-legend")
        assert device.show(_CONSOLE, "Result") == "success"
        with camera_on_a_cable(device):
            device.wait_until("the address", lambda: "192.168.77.1" in device.run("cat", _ISSUE))
            device.wait_until("the end", lambda: device.is_in_state(_CONSOLE, "inactive"))
    measured(f"{again} looks without an address, no line in the journal")


@pytest.mark.parametrize("name", ["appliance-update-request", "appliance-update-install"])
def test_requests_are_carried_out_after_many_that_failed(device: Container, name: str, measured: Measured) -> None:
    path = f"{name}.path"
    request = device.run("systemctl", "show", path, "--value", "--property=Paths").split()[0]
    service = device.show(path, "Triggers")
    with changed(device, "appliance-rearm@.timer", _SOON):
        with changed(device, service, _instead("rm -f /run/done; exit 1")):
            device.write(request, "install\n")
            for _ in range(20):
                device.run("sh", "-c", f"[ -e {request} ] || echo install >{request}")
                if device.is_in_state(path, "failed"):
                    break
                time.sleep(0.2)
        result = device.show(path, "Result")
        with changed(device, service, _instead(f"rm -f {request}; touch /run/done")):
            time.sleep(10)  # systemd counts the starts within this time
            device.write(request, "install\n")
            device.wait_until("carried out", lambda: device.run("ls", "/run/done", may_fail=True), patience_s=30)
            assert device.is_in_state(path, "active")
    measured(f"{path}: {result}; a minute later it works")


def test_an_erasure_that_cannot_be_carried_out_does_not_keep_the_service_down(
    device: Container, measured: Measured
) -> None:
    """Each attempt stops the service. Slower than five in ten seconds, no limit of systemd ends them."""
    request = "/var/lib/appliance/erase-requested"
    with changed(device, "appliance-erase.service", _instead("echo x >>/run/attempts; sleep 2.5; exit 1")):
        device.write(request, "erase\n", "appliance:appliance")
        device.wait_until("the first attempt", lambda: _starts(device, "/run/attempts"))
        time.sleep(12)
        attempts = _starts(device, "/run/attempts")
        device.run("rm", request)
        device.run("systemctl", "stop", "appliance-erase.service")
    assert device.is_in_state("appliance-erase.path", "active")
    assert attempts == 1
    measured("one attempt within 12 s")
