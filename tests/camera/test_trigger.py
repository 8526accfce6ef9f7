"""The command that runs when a class is detected."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from appliance.camera.trigger import Trigger
from appliance.errors import ConfigError
from tests.fakes import FakeClock

APPEND = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read())"


@asynccontextmanager
async def running(trigger: Trigger) -> AsyncIterator[None]:
    async with anyio.create_task_group() as group:
        group.start_soon(trigger.run)
        yield
        group.cancel_scope.cancel()


def writing(path: Path, clock: FakeClock) -> Trigger:
    """A trigger on persons that appends its standard input to a file."""
    return Trigger(["person"], [sys.executable, "-c", APPEND, str(path)], every_s=10, clock=clock)


async def lines(path: Path, count: int) -> list[str]:
    with anyio.fail_after(20):
        while not path.exists() or len(path.read_text(encoding="utf-8").splitlines()) < count:
            await asyncio.sleep(0.01)
    return path.read_text(encoding="utf-8").splitlines()


async def offered(trigger: Trigger, answer: bytes) -> None:
    """Offer until accepted: the previous command may still be ending."""
    with anyio.fail_after(20):
        while not trigger.offer(["person"], answer):
            await asyncio.sleep(0.01)


async def test_the_command_gets_the_result_on_standard_input(tmp_path: Path) -> None:
    trigger = writing(tmp_path / "seen", FakeClock())
    async with running(trigger):
        assert not trigger.offer(["car", "dog"], b"{}")
        assert trigger.offer(["car", "person"], b'{"detections": []}')
        assert await lines(tmp_path / "seen", 1) == ['{"detections": []}']


async def test_the_interval_limits_how_often_the_command_runs(tmp_path: Path) -> None:
    clock = FakeClock()
    trigger = writing(tmp_path / "seen", clock)
    async with running(trigger):
        await offered(trigger, b"first")
        await lines(tmp_path / "seen", 1)
        clock.pass_(9.9)
        assert not trigger.offer(["person"], b"too soon")
        clock.pass_(0.2)
        await offered(trigger, b"second")
        assert await lines(tmp_path / "seen", 2) == ["first", "second"]


async def test_one_command_runs_at_a_time(tmp_path: Path) -> None:
    clock = FakeClock()
    wait = (
        "import sys, time, os\nopen(sys.argv[1] + '.started', 'w')\n"
        "while not os.path.exists(sys.argv[1]): time.sleep(.01)"
    )
    trigger = Trigger(["person"], [sys.executable, "-c", wait, str(tmp_path / "go")], every_s=0, clock=clock)
    async with running(trigger):
        assert trigger.offer(["person"], b"{}")
        with anyio.fail_after(20):
            while not (tmp_path / "go.started").exists():
                await asyncio.sleep(0.01)
        clock.pass_(100)
        assert not trigger.offer(["person"], b"{}")
        (tmp_path / "go").touch()
        await offered(trigger, b"{}")


async def test_a_hung_command_is_killed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trigger = Trigger(["person"], ["sleep", "3600"], every_s=0, ends_within_s=0.05)
    async with running(trigger):
        assert trigger.offer(["person"], b"{}")
        await offered(trigger, b"{}")
        assert "sleep killed" in caplog.text


async def test_a_failed_command_is_logged_and_the_next_one_runs(caplog: pytest.LogCaptureFixture) -> None:
    trigger = Trigger(["person"], ["false"], every_s=0)
    async with running(trigger):
        assert trigger.offer(["person"], b"{}")
        await offered(trigger, b"{}")
        assert "false failed with exit status 1" in caplog.text


async def test_a_running_command_is_killed_when_the_agent_stops(tmp_path: Path) -> None:
    program = 'echo $$ > "$0"; exec sleep 3600'
    trigger = Trigger(["person"], ["sh", "-c", program, str(tmp_path / "pid")], every_s=0)
    with anyio.fail_after(20):
        async with running(trigger):
            assert trigger.offer(["person"], b"{}")
            (pid,) = await lines(tmp_path / "pid", 1)
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("command", [[], ["no-such-program-anywhere"]])
def test_a_missing_command_is_an_error_at_the_start(command: list[str]) -> None:
    with pytest.raises(ConfigError, match="not found or not executable"):
        Trigger(["person"], command, every_s=1)
