"""Recovery: a service that crashes, hangs or leaks restarts by itself; one that keeps failing ends in the rescue.

The watchdog's 8 s are 3 s here, the 20 s after which an inference hangs are 8 s, the pause before a restart is 0.3 s,
those of the retry timer are 2 s, and the memory limit is that of a board with 1 GB; everything else is as installed.
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
def _flowing(box: Container) -> None:
    """A camera that pushes frames during all tests."""
    box.let_limits_work()
    box.drop_in(_SERVICE, "[Service]\nWatchdogSec=3s\nRestartSec=300ms\nMemoryMax=600M\n")
    box.write("/etc/appliance/appliance.toml", "[flow]\ndeadline_s = 8\n", owner="root:appliance")
    box.run("systemctl", "restart", _SERVICE)
    box.write("/etc/appliance/camera-gate.env", "SOURCE=demo\n")
    box.run("systemctl", "start", "appliance-camera@gate")


@pytest.fixture(autouse=True)
def _answering(box: Container) -> None:
    """Reset the failure counter, so that earlier tests do not count."""
    box.run("systemctl", "reset-failed")
    box.wait_until("answering", lambda: box.answered("gate") >= 1)


def test_a_restart_refuses_no_connection(box: Container, measured: Measured) -> None:
    with _caller(box) as calls:
        box.run("systemctl", "restart", _SERVICE)
        box.wait_until("answering", lambda: box.answered("gate") >= 1)
    assert calls["refused"] == []
    measured(f"{calls['calls']} connections, none refused; the longest waited {calls['longest_s']} s")


def test_a_camera_resumes_by_itself_after_a_crash(box: Container, measured: Measured) -> None:
    with box.background(*_CAMERA) as answers:
        answers.readline()
        box.run("systemctl", "kill", "--signal=KILL", _SERVICE)
        silent_since_s = time.monotonic()
        answers.readline()
        silent_s = time.monotonic() - silent_since_s
        box.wait_until_active()
        box.wait_until("answering", lambda: box.answered("watching") >= 2)
    measured(f"killed; the camera's next answer came {silent_s:.1f} s later")


def test_a_killed_service_restarts(box: Container, measured: Measured) -> None:
    _kill(box, "KILL")
    measured(_came_back(box, "signal"))


def test_the_watchdog_kills_and_restarts_a_stopped_process(box: Container, measured: Measured) -> None:
    _kill(box, "STOP")
    measured(_came_back(box, "watchdog"))


def test_the_watchdog_ends_a_hung_inference_and_logs_its_stack(box: Container, measured: Measured) -> None:
    box.run("touch", "/run/appliance/hang")
    measured(_came_back(box, "watchdog"))
    assert "faults_of_the_chip.py" in box.journal(), "the log does not say where the thread stood"


def test_a_leak_ends_at_the_memory_limit_and_the_service_restarts(box: Container, measured: Measured) -> None:
    box.run("touch", "/run/appliance/leak")
    measured(_came_back(box, "oom-kill", "signal"))  # with cgroup v1 systemd only sees the signal


def test_a_service_that_keeps_failing_ends_in_rescue_and_returns_after_the_fix(
    box: Container, measured: Measured
) -> None:
    box.drop_in(
        "appliance-retry.timer", "[Timer]\nOnActiveSec=\nOnUnitInactiveSec=\nOnActiveSec=2s\nOnUnitInactiveSec=2s\n"
    )
    box.run("mv", "/opt/appliance/current", "/opt/appliance/lost")
    _kill(box, "KILL")
    box.wait_until("in rescue", lambda: "keeps failing" in str(box.get("/health")))
    assert "failed five times and rests" in box.journal("appliance-rescue.socket")
    box.run("mv", "/opt/appliance/lost", "/opt/appliance/current")
    box.wait_until("ready again", lambda: box.get("/health/ready")[0] == 200)
    box.wait_until("over", lambda: box.show("appliance-retry.timer", "ActiveState") == "inactive")
    box.wait_until("answering", lambda: box.answered("gate") >= 1)
    measured("503 with what to do while it fails; back by the timer once it can start")


@contextmanager
def _caller(box: Container) -> Iterator[dict[str, object]]:
    """Keep connecting until the block ends; the dictionary then contains the results."""
    found: dict[str, object] = {}
    with box.background("/usr/bin/python3", "-c", _CALLER.read_text(encoding="utf-8")) as said:
        assert said.readline() == "calling\n"
        yield found
        box.run("systemctl", "kill", "background-*")
        found.update(json.loads(said.readline()))


def _kill(box: Container, name: str) -> None:
    box.run("systemctl", "kill", f"--signal={name}", "--kill-whom=main", _SERVICE)


def _came_back(box: Container, *results: str) -> str:
    """Wait until a new process of the service is ready and answers frames; return the time taken by systemd's clock."""
    was = box.show(_SERVICE, "InvocationID")
    box.wait_until("another process", lambda: box.show(_SERVICE, "InvocationID") not in ("", was))
    box.wait_until_active()
    box.wait_until("answering", lambda: box.answered("gate") >= 1)
    said = box.run("journalctl", f"INVOCATION_ID={was}", "+", f"_SYSTEMD_INVOCATION_ID={was}", "--output=cat")
    (result,) = [result for result in results if f"Failed with result '{result}'" in said] or [f"none: {said[-2000:]}"]
    assert result in results, result
    dead, ready = (int(box.show(_SERVICE, f"{name}TimestampMonotonic")) / 1e6 for name in ("ActiveExit", "ActiveEnter"))
    return f"{result}; ready again after {ready - dead:.1f} s"
