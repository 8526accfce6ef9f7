"""The control socket, and `appliance governor` on its other end."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance import cli
from appliance.control import server, socket_path
from appliance.control.client import Control, NoService
from appliance.governor.policy import Policy
from appliance.governor.service import Governor
from tests.conftest import Serve
from tests.fakes import FakeClock
from tests.governor.readings import FULL, LAST, POLICY, reading


class Sensors:
    """Always the same reading."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    def read(self) -> Any:
        return reading(self._clock(), 76.0)


@asynccontextmanager
async def running(path: Path, policy: Policy | None = POLICY) -> AsyncIterator[Governor]:
    """A governor that has read its sensors, and its control socket."""
    clock = FakeClock()
    governor = Governor(sensors=Sensors(clock), policy=policy, full=FULL, apply=lambda limits: None, clock=clock)
    task = asyncio.create_task(governor.run())
    while governor.reading is None:
        await asyncio.sleep(0)
    async with server.listening(governor, path):
        yield governor
    task.cancel()
    await asyncio.wait({task})


async def ask(path: Path, method: str, *arguments: Any) -> dict[str, Any]:
    answer: dict[str, Any] = await asyncio.to_thread(getattr(Control([path]), method), *arguments)
    return answer


async def test_it_shows_state_reason_and_ladder(tmp_path: Path) -> None:
    async with running(tmp_path / "c.sock") as governor:
        found = await ask(tmp_path / "c.sock", "governor")
    assert (found["cur_state"], found["max_state"], found["reason"]) == (1, LAST, "temperature")
    assert found["why"] == "chip temperature 76 °C, target below 75 °C"
    assert found["transitions"] == governor.transitions == 1
    assert found["ladder"][1] == {"heat": pytest.approx(17.2 / 27.2), "means": "input 512 px, all frames"}
    assert found["held_for_s"] is None


async def test_a_state_is_held_and_released(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    async with running(path) as governor:
        found = await ask(path, "hold", 4, 600.0)
        assert (found["cur_state"], found["held_for_s"]) == (4, 600.0)
        assert governor.held_for_s is not None
        found = await ask(path, "release")
        assert found["held_for_s"] is None
        assert governor.held_for_s is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((99, 60.0), "cooling state 99 does not exist"),
        ((1, 0.0), "24 hours"),
        ((1, 1e9), "24 hours"),
        ((1.5, 60.0), "int"),
    ],
)
async def test_what_cannot_be_held_is_said(tmp_path: Path, arguments: tuple[Any, ...], said: str) -> None:
    async with running(tmp_path / "c.sock") as governor:
        with pytest.raises(NoService, match=said) as raised:
            await ask(tmp_path / "c.sock", "hold", *arguments)
        assert governor.held_for_s is None
    assert raised.value.code == "refused"


async def test_a_governor_that_is_off_says_so(tmp_path: Path) -> None:
    async with running(tmp_path / "c.sock", None):
        assert await ask(tmp_path / "c.sock", "governor") == {"enabled": False}


async def test_only_the_owner_may_open_it_and_it_goes_with_the_service(tmp_path: Path) -> None:
    path = tmp_path / "made" / "c.sock"
    async with running(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.exists()


async def test_a_socket_that_was_left_over_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with running(path):
        assert (await ask(path, "governor"))["enabled"]


async def test_a_second_service_leaves_the_first_ones_socket(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "c.sock"
    async with running(path) as first, running(path):
        assert "another service of this user has it" in caplog.text
        await ask(path, "hold", 3, 60.0)
        assert first.cur_state == 3


async def test_a_folder_that_somebody_else_put_there_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "ours").symlink_to(tmp_path / "theirs")
    async with running(tmp_path / "ours" / "c.sock"):
        assert "does not belong to this user" in caplog.text
    assert list((tmp_path / "theirs").iterdir()) == []


async def test_a_path_that_is_too_long_does_not_stop_the_service(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path / ("x" * 120) / "c.sock"):
        assert "no control socket" in caplog.text


def test_where_the_socket_lies() -> None:
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
def test_without_permission_it_says_sudo(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o000)
    with pytest.raises(NoService, match="use sudo"):
        Control([tmp_path / "theirs" / "c.sock"]).governor()


async def test_the_command_line_holds_shows_and_releases(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("APPLIANCE_CONTROL", str(tmp_path / "control.sock"))
    async with serve() as running:
        governor = running.started.parts.governor
        while governor.reading is None:
            await asyncio.sleep(0.01)
        assert await asyncio.to_thread(cli.main, ["governor", "hold", "2", "--for", "90s"]) == 0
        assert governor.cur_state == 2
        assert await asyncio.to_thread(cli.main, ["governor", "show"]) == 0
        shown = capsys.readouterr().out
        assert await asyncio.to_thread(cli.main, ["governor", "release"]) == 0
        assert governor.held_for_s is None
        assert await asyncio.to_thread(cli.main, ["governor", "hold", "77"]) == 1
        assert await asyncio.to_thread(cli.main, ["governor", "hold", "1", "--for", "soon"]) == 2
    assert "Cooling state 2 of 9" in shown
    assert "Held for another" in shown
    assert " *     2    44%   input 416 px, all frames" in shown
    assert "`appliance bench` measures this one" in shown
    problems = capsys.readouterr().err
    assert "cooling state 77 does not exist" in problems
    assert "for example --for 10m" in problems


def test_without_a_service_it_says_how_to_start_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("APPLIANCE_CONTROL", str(tmp_path / "control.sock"))
    assert cli.main(["governor", "show"]) == 1
    assert "sudo systemctl start appliance" in capsys.readouterr().err


def test_the_log_stays_quiet_about_a_socket_that_works(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    async def once() -> None:
        async with running(tmp_path / "c.sock"):
            pass

    with caplog.at_level(logging.WARNING):
        asyncio.run(once())
    assert "control socket" not in caplog.text
