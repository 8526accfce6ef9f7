"""The control socket with its client, and `appliance governor`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pwd
import socket
import stat
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from appliance import cli
from appliance.control import server, socket_path
from appliance.control.client import Control, NoService
from appliance.control.protocol import GovernorStatus
from appliance.governor.service import Governor
from appliance.governor.targets import Policy
from appliance.identity.audit import Audit
from tests.conftest import Serve
from tests.fakes import FakeClock
from tests.governor.readings import FULL, LAST, POLICY, reading


class Sensors:
    """Always returns the same reading."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    def read(self) -> Any:
        return reading(self._clock(), 76.0)


async def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0)


@asynccontextmanager
async def running(path: Path, policy: Policy | None = POLICY, audit: Audit | None = None) -> AsyncIterator[Governor]:
    """A control socket, and a governor that has read its sensors."""
    clock = FakeClock()
    governor = Governor(sensors=Sensors(clock), policy=policy, full=FULL, apply=lambda limits: None, clock=clock)
    task = asyncio.create_task(governor.run())
    await until(lambda: governor.reading is not None)
    async with server.listening(governor, audit or Audit(), path):
        yield governor
    task.cancel()
    await asyncio.wait({task})


async def call(method: Callable[..., GovernorStatus | None], *arguments: Any) -> GovernorStatus:
    """Call a method of the client in a thread; the governor must be enabled."""
    status = await asyncio.to_thread(method, *arguments)
    assert status is not None
    return status


async def test_the_status_has_state_reason_and_ladder(tmp_path: Path) -> None:
    control = Control([tmp_path / "c.sock"])
    async with running(tmp_path / "c.sock") as governor:
        status = await call(control.governor)
    assert control.peer == f"process {os.getpid()}, {tmp_path / 'c.sock'}"
    assert (status.cur_state, status.max_state, status.reason) == (2, LAST, "temperature")
    assert status.why == "chip temperature 76 °C, target below 75 °C"
    assert status.transitions == governor.transitions == 1
    assert status.ladder[1].heat == pytest.approx(17.2 / 27.2)
    assert status.ladder[1].means == "input 512 px, all frames"
    assert status.held_for_s is None


async def test_a_state_is_held_and_released(tmp_path: Path) -> None:
    control = Control([tmp_path / "c.sock"])
    async with running(tmp_path / "c.sock") as governor:
        status = await call(control.hold, 4, 600.0)
        assert (status.cur_state, status.held_for_s) == (4, 600.0)
        assert governor.held_for_s is not None
        assert (await call(control.release)).held_for_s is None
        assert governor.held_for_s is None


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        ((99, 60.0), "throttle level 99 does not exist", "refused"),
        ((1, 0.0), "24 hours", "refused"),
        ((1, 1e9), "24 hours", "refused"),
        ((1.5, 60.0), "int", "option_invalid"),
    ],
)
async def test_an_invalid_hold_is_rejected(tmp_path: Path, arguments: tuple[Any, ...], message: str, code: str) -> None:
    async with running(tmp_path / "c.sock") as governor:
        with pytest.raises(NoService, match=message) as raised:
            await call(Control([tmp_path / "c.sock"]).hold, *arguments)
        assert governor.held_for_s is None
    assert raised.value.code == code


async def test_a_disabled_governor_has_no_status(tmp_path: Path) -> None:
    async with running(tmp_path / "c.sock", None):
        assert await asyncio.to_thread(Control([tmp_path / "c.sock"]).governor) is None


async def test_an_invalid_response_is_reported(tmp_path: Path) -> None:
    async def respond(request: web.Request) -> web.Response:
        return web.json_response({"enabled": True, "cur_state": "unknown"})

    app = web.Application()
    app.add_routes([web.get("/governor", respond)])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(tmp_path / "c.sock")).start()
        with pytest.raises(NoService, match="invalid response"):
            await asyncio.to_thread(Control([tmp_path / "c.sock"]).governor)
    finally:
        await runner.cleanup()


async def test_the_socket_is_private_and_removed_with_the_service(tmp_path: Path) -> None:
    path = tmp_path / "made" / "c.sock"
    async with running(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.exists()


async def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    async with running(path):
        assert (await call(Control([path]).governor)).enabled


async def test_a_second_service_keeps_the_socket_of_the_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "c.sock"
    async with running(path) as first, running(path):
        assert "another service of this user uses it" in caplog.text
        await call(Control([path]).hold, 3, 60.0)
        assert first.cur_state == 3


async def test_a_service_that_hangs_does_not_hang_a_second_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "c.sock"
    with contextlib.ExitStack() as opened:
        hangs = opened.enter_context(socket.socket(socket.AF_UNIX))
        hangs.bind(str(path))
        hangs.listen(0)
        with contextlib.suppress(BlockingIOError):  # its queue is full
            for _ in range(10):
                client = opened.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                client.connect(str(path))
        async with running(path):
            assert "another service of this user uses it" in caplog.text


async def test_a_service_that_stops_keeps_the_socket_of_one_that_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, cleanup = tmp_path / "c.sock", web.AppRunner.cleanup

    async def started_meanwhile(runner: web.AppRunner) -> None:
        await cleanup(runner)
        path.touch()

    monkeypatch.setattr(web.AppRunner, "cleanup", started_meanwhile)
    async with running(path):
        pass
    assert path.exists()


async def test_a_folder_of_another_user_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "ours").symlink_to(tmp_path / "theirs")
    async with running(tmp_path / "ours" / "c.sock"):
        assert "does not belong to this user" in caplog.text
    assert list((tmp_path / "theirs").iterdir()) == []


async def test_a_path_that_is_too_long_is_only_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running(tmp_path / ("x" * 120) / "c.sock"):
        assert "no control socket" in caplog.text


def test_the_path_of_the_socket_depends_on_the_environment() -> None:
    assert socket_path.control_socket(
        {"RUNTIME_DIRECTORY": "/run/a:/run/b", "XDG_RUNTIME_DIR": "/run/user/7"}, 7
    ) == Path("/run/a/control.sock")
    assert socket_path.control_socket({"XDG_RUNTIME_DIR": "/run/user/7"}, 7) == Path(
        "/run/user/7/appliance/control.sock"
    )
    assert socket_path.control_sockets({"APPLIANCE_CONTROL": "/a.sock", "RUNTIME_DIRECTORY": "/run/a"}, 7) == [
        Path("/a.sock")
    ]
    assert socket_path.control_socket({}, 7) == Path("/tmp/appliance-7/control.sock")
    assert Path("/run/appliance/control.sock") in socket_path.control_sockets({}, 7)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every socket")
def test_missing_permission_suggests_sudo(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o000)
    with pytest.raises(NoService, match="use sudo"):
        Control([tmp_path / "theirs" / "c.sock"]).governor()


async def test_the_commands_hold_show_and_release_a_level(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("APPLIANCE_CONTROL", str(tmp_path / "control.sock"))
    async with serve() as running:
        governor = running.started.parts.governor
        await until(lambda: governor.reading is not None)
        assert await asyncio.to_thread(cli.main, ["governor", "hold", "2", "--for", "90s"]) == 0
        assert governor.cur_state == 2
        assert await asyncio.to_thread(cli.main, ["governor", "show"]) == 0
        shown = capsys.readouterr().out
        assert await asyncio.to_thread(cli.main, ["governor", "release"]) == 0
        assert governor.held_for_s is None
        assert await asyncio.to_thread(cli.main, ["governor", "hold", "77"]) == 1
        assert await asyncio.to_thread(cli.main, ["governor", "hold", "1", "--for", "3d"]) == 2
    assert "Throttle level 2 of 17" in shown
    assert "Held for another" in shown
    assert " *     2    44%   input 416 px, all frames" in shown
    assert "measure this device: appliance bench" in shown
    problems = capsys.readouterr().err
    assert "throttle level 77 does not exist" in problems
    assert "--for: at most 24h" in problems


def test_the_command_without_a_service_says_how_to_start_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("APPLIANCE_CONTROL", str(tmp_path / "control.sock"))
    assert cli.main(["governor", "show"]) == 1
    error = capsys.readouterr().err
    assert "No running service you can connect to" in error
    assert "sudo systemctl start appliance" in error


def test_a_working_socket_is_not_logged(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    async def once() -> None:
        async with running(tmp_path / "c.sock"):
            pass

    with caplog.at_level(logging.WARNING):
        asyncio.run(once())
    assert "control socket" not in caplog.text


async def test_actions_are_audited_with_the_local_user(tmp_path: Path) -> None:
    audit, control = Audit(), Control([tmp_path / "c.sock"])
    async with running(tmp_path / "c.sock", audit=audit):
        await call(control.hold, 3, 60.0)
        await call(control.release)
    user = pwd.getpwuid(os.getuid()).pw_name
    assert [(entry.who, entry.action) for entry in audit.latest()] == [
        (f"{user} (operator)", "governor_release"),
        (f"{user} (operator)", "governor_hold"),
    ]
    assert audit.latest()[1].fields == {"level": 3, "for_s": 60.0}


def test_a_socket_of_another_user_under_tmp_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anyone may create /tmp/appliance-0/control.sock and wait for root."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = Path(folder) / "control.sock"
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.bind(str(path))
            stranger.listen()
            monkeypatch.setattr("appliance.control.client.peer_of", lambda _: (1, 12345))
            with pytest.raises(NoService, match="No running service"):
                Control([path]).governor()
