"""The clock helper under systemd: what the governor asks for is applied, and restored however it ends.

A file tree stands for the clocks in /sys: the container must not change this machine's.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.boot.conftest import Measured
from tests.boot.container import Container

pytestmark = pytest.mark.boot

_TREE = "/run/clocks"
_POLICY = f"{_TREE}/sys/devices/system/cpu/cpufreq/policy0"
_HIGHEST = "2400000"
_APPLIANCE = "/opt/appliance/current/venv/bin/appliance"


@pytest.fixture(scope="module", autouse=True)
def _allowed(device: Container) -> Iterator[None]:
    """A device that may lower its clocks to 60 %."""
    device.write(f"{_POLICY}/scaling_max_freq", f"{_HIGHEST}\n")
    device.write(f"{_POLICY}/cpuinfo_min_freq", "600000\n")
    device.drop_in(
        "appliance-clock@.service",
        f"[Service]\nExecStart=\nExecStart=/usr/libexec/appliance/clock-cap serve {_TREE}\n"
        f"ExecStopPost=\nExecStopPost=/usr/libexec/appliance/clock-cap restore {_TREE}\nReadWritePaths={_TREE}\n",
    )
    device.write("/etc/appliance/appliance.toml", "[governor]\nlowest_clock_percent = 60\n", owner="root:appliance")
    device.run("systemctl", "enable", "--now", "appliance-clock.socket")
    device.run("systemctl", "restart", "appliance.service")
    yield
    device.run("systemctl", "disable", "--now", "appliance-clock.socket")
    device.run("rm", "/etc/appliance/appliance.toml")
    device.run("systemctl", "restart", "appliance.service")


@pytest.fixture(autouse=True)
def _capped(device: Container) -> None:
    hold(device)
    device.wait_until("capped", lambda: clock(device) == "1440000")


def clock(device: Container) -> str:
    return device.run("cat", f"{_POLICY}/scaling_max_freq")


def hold(device: Container, level: int = 4) -> None:
    """Hold a level, by default one of less work, at which a lower clock suffices."""
    device.wait_until_active()
    device.run(_APPLIANCE, "governor", "hold", str(level), "--for", "10m")


def test_clocks_are_restored_when_the_service_stops_or_crashes_and_capped_again(
    device: Container, measured: Measured
) -> None:
    device.run("systemctl", "kill", "--signal=KILL", "appliance.service")
    device.wait_until("restored", lambda: clock(device) == _HIGHEST)
    hold(device)
    device.wait_until("capped again", lambda: clock(device) == "1440000")
    hold(device, level=0)
    device.wait_until("restored", lambda: clock(device) == _HIGHEST)
    measured("60 % while level 4 is held")


def test_a_helper_that_is_killed_restores_the_clocks(device: Container) -> None:
    device.run("systemctl", "kill", "--signal=KILL", "appliance-clock@*.service")
    device.wait_until("restored", lambda: clock(device) == _HIGHEST)


def test_only_the_service_may_ask(device: Container) -> None:
    asks = "import socket; socket.socket(socket.AF_UNIX).connect('/run/appliance-clock.sock'); print('connected')"
    for user, answer in (("nobody", ""), ("appliance", "connected")):
        as_user = (
            "setpriv",
            f"--reuid={user}",
            f"--regid={user if user == 'appliance' else 'nogroup'}",
            "--clear-groups",
        )
        assert device.run(*as_user, "/usr/bin/python3", "-c", asks, may_fail=True) == answer
