"""Units that wait or fail for years: the console of a device without a network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.boot.cable import camera_on_a_cable
from tests.boot.conftest import Measured
from tests.boot.container import Container

pytestmark = pytest.mark.boot

_CONSOLE = "appliance-console.service"
_ISSUE = "/run/issue.d/appliance.issue"


@contextmanager
def changed(device: Container, unit: str, text: str) -> Iterator[None]:
    """A unit with other settings, until the block ends."""
    device.drop_in(unit, text)
    try:
        yield
    finally:
        device.run("rm", "-r", f"/etc/systemd/system/{unit}.d")
        device.run("systemctl", "daemon-reload")


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
