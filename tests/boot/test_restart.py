"""Recovery: a service that crashes, hangs or leaks restarts by itself; one that keeps failing enters rescue mode.

Settings that differ from an installed device: watchdog 3 s instead of 8 s, inference deadline 8 s instead of 20 s,
pause before a restart 0.3 s, retry timer 2 s, memory limit as on a board with 1 GB.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.boot.conftest import Measured
from tests.boot.container import Container

pytestmark = pytest.mark.boot

_SERVICE = "appliance.service"
_CAMERA = ("/opt/appliance/current/venv/bin/appliance", "camera", "--to", "http://127.0.0.1:8080",
           "--name", "watching", "--json")  # fmt: skip
_CALLER = Path(__file__).with_name("caller.py")


@pytest.fixture(scope="module", autouse=True)
def _frames(device: Container) -> None:
    """A camera that pushes frames during all tests."""
    device.let_limits_work()
    device.drop_in(_SERVICE, "[Service]\nWatchdogSec=3s\nRestartSec=300ms\nMemoryMax=600M\n")
    device.write("/etc/appliance/appliance.toml", "[flow]\ndeadline_s = 8\n", owner="root:appliance")
    device.run("systemctl", "restart", _SERVICE)
    device.write("/etc/appliance/camera-gate.env", "SOURCE=demo\n")
    device.run("systemctl", "start", "appliance-camera@gate")


@pytest.fixture(autouse=True)
def _answering(device: Container) -> None:
    """Reset the failure counter, so that earlier tests do not count."""
    device.run("systemctl", "reset-failed")
    device.wait_until("answering", lambda: device.answered("gate") >= 1)


def test_a_restart_refuses_no_connection(device: Container, measured: Measured) -> None:
    with _caller(device) as calls:
        device.run("systemctl", "restart", _SERVICE)
        device.wait_until("answering", lambda: device.answered("gate") >= 1)
    assert calls["refused"] == []
    measured(f"{calls['calls']} connections, none refused; the longest waited {calls['longest_s']} s")


def test_a_camera_resumes_by_itself_after_a_crash(device: Container, measured: Measured) -> None:
    with device.background(*_CAMERA) as answers:
        assert answers.readline()
        device.run("systemctl", "kill", "--signal=KILL", _SERVICE)
        silent_since_s = time.monotonic()
        assert answers.readline()
        silent_s = time.monotonic() - silent_since_s
        device.wait_until_active()
        device.wait_until("answering", lambda: device.answered("watching") >= 2)
    measured(f"killed; the camera's next answer came {silent_s:.1f} s later")


def test_a_killed_service_restarts(device: Container, measured: Measured) -> None:
    _kill(device, "KILL")
    measured(_came_back(device, "signal"))


def test_the_watchdog_kills_and_restarts_a_stopped_process(device: Container, measured: Measured) -> None:
    _kill(device, "STOP")
    measured(_came_back(device, "watchdog"))


def test_the_watchdog_ends_a_hung_inference_and_logs_its_stack(device: Container, measured: Measured) -> None:
    device.run("touch", "/run/appliance/hang")
    measured(_came_back(device, "watchdog"))
    assert "faults_of_the_chip.py" in device.journal(), "the log does not contain the thread's stack"


def test_a_leak_ends_at_the_memory_limit_and_the_service_restarts(device: Container, measured: Measured) -> None:
    device.run("touch", "/run/appliance/leak")
    measured(_came_back(device, "oom-kill", "signal"))  # with cgroup v1 systemd only sees the signal


def test_a_service_that_keeps_failing_ends_in_rescue_and_returns_after_the_fix(
    device: Container, measured: Measured
) -> None:
    device.drop_in(
        "appliance-retry.timer", "[Timer]\nOnActiveSec=\nOnUnitInactiveSec=\nOnActiveSec=2s\nOnUnitInactiveSec=2s\n"
    )
    device.run("mv", "/opt/appliance/current", "/opt/appliance/lost")
    _kill(device, "KILL")
    device.wait_until("in rescue", lambda: "keeps failing" in str(device.get("/health")))
    assert "failed five times and is paused" in device.journal("appliance-rescue.socket")
    device.run("mv", "/opt/appliance/lost", "/opt/appliance/current")
    device.wait_until("ready again", lambda: device.get("/health/ready")[0] == 200)
    device.wait_until(
        "the retry timer to stop", lambda: device.show("appliance-retry.timer", "ActiveState") == "inactive"
    )
    device.wait_until("answering", lambda: device.answered("gate") >= 1)
    measured("503 with the next action while it fails; the retry timer starts it after the fix")


@contextmanager
def _caller(device: Container) -> Iterator[dict[str, object]]:
    """Keep connecting until the block ends; the dictionary then contains the results."""
    found: dict[str, object] = {}
    with device.background("/usr/bin/python3", "-c", _CALLER.read_text(encoding="utf-8")) as output:
        assert output.readline() == "calling\n"
        yield found
        device.run("systemctl", "kill", "background-*")
        found.update(json.loads(output.readline()))


def _kill(device: Container, name: str) -> None:
    device.run("systemctl", "kill", f"--signal={name}", "--kill-whom=main", _SERVICE)


def _came_back(device: Container, *results: str) -> str:
    """Wait until a new process of the service is ready and answers frames; return the time taken by systemd's clock."""
    was = device.show(_SERVICE, "InvocationID")
    device.wait_until("another process", lambda: device.show(_SERVICE, "InvocationID") not in ("", was))
    device.wait_until_active()
    device.wait_until("answering", lambda: device.answered("gate") >= 1)
    output = device.run("journalctl", f"INVOCATION_ID={was}", "+", f"_SYSTEMD_INVOCATION_ID={was}", "--output=cat")
    (result,) = [result for result in results if f"Failed with result '{result}'" in output] or [
        f"none: {output[-2000:]}"
    ]
    assert result in results, result
    dead, ready = (
        int(device.show(_SERVICE, f"{name}TimestampMonotonic")) / 1e6 for name in ("ActiveExit", "ActiveEnter")
    )
    return f"{result}; ready again after {ready - dead:.1f} s"
