"""`appliance camera` as a process: output, saved pictures, commands, and exit."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from tests.camera.films import stamped
from tests.conftest import ROOT, Running, Serve


@asynccontextmanager
async def camera(*arguments: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the command and end it with SIGTERM; it must exit with status 0."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "appliance", "camera", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=ROOT,
        env=os.environ | environment,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        _, err = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 0, err.decode()
        assert "Traceback" not in err.decode()


async def failing(*arguments: str, **environment: str) -> tuple[int, str]:
    """The exit status and standard error of a failing command."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "appliance", "camera", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=ROOT,
        env=os.environ | environment,
    )  # fmt: skip
    _, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode is not None
    return process.returncode, err.decode()


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 20)).decode()


@pytest.fixture(scope="module")
async def live(serve: Serve) -> AsyncIterator[Running]:
    async with serve(cache__enabled="false", flow__min_interval_s="0.05") as running:
        yield running


async def test_results_are_printed_as_text(live: Running) -> None:
    async with camera("--to", live.url, "--name", "gate", "--source", "demo") as process:
        first = await line(process)
    assert first.startswith("frame 1: stop sign 90%  (")
    assert "ms from capture to result; device " in first


async def test_results_are_printed_as_json_lines(live: Running) -> None:
    async with camera("--to", live.url, "--name", "gate", "--json") as process:
        results = [json.loads(await line(process)) for _ in range(3)]
    assert [one["frame_id"] for one in results] == [1, 2, 3]
    assert results[0]["camera"] == "gate"
    assert results[0]["detections"][0]["name"] == "stop sign"
    assert results[0]["latency_ms"] >= results[0]["timing"]["total_ms"]


async def test_the_environment_can_set_all_options(live: Running) -> None:
    settings = {"APPLIANCE_CAMERA_TO": live.url, "APPLIANCE_CAMERA_NAME": "yard", "APPLIANCE_CAMERA_SOURCE": "demo"}
    async with camera("--json", **settings) as process:
        assert json.loads(await line(process))["camera"] == "yard"


async def test_pictures_with_detections_are_saved(live: Running, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    async with camera("--to", live.url, "--quiet", "--save", str(folder)):
        with anyio.fail_after(20):
            while not list(folder.glob("*_stop-sign.jpg")):
                await asyncio.sleep(0.02)


async def test_a_command_runs_for_a_detected_class(live: Running, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    program = f"import sys; open({str(seen)!r}, 'w').write(sys.stdin.read())"
    command = ("--on", "car", "--on", "stop sign", "--", sys.executable, "-c", program)
    async with camera("--to", live.url, "--quiet", *command):
        with anyio.fail_after(20):
            while not seen.exists() or not seen.read_text().endswith("\n"):
                await asyncio.sleep(0.02)
    assert json.loads(seen.read_text())["detections"][0]["name"] == "stop sign"


async def test_the_token_is_read_from_a_file_or_the_environment(serve: Serve, tmp_path: Path) -> None:
    settings = tmp_path / "device.toml"
    settings.write_text('[cameras.gate]\ntoken = "opensesame"\n')
    (tmp_path / "token").write_text("opensesame\n")
    async with serve(toml=settings, server__require_token="true") as running:
        to = ("--to", running.url, "--name", "gate")
        async with camera(*to, "--token-file", str(tmp_path / "token")) as process:
            assert (await line(process)).startswith("frame 1")
        async with camera(*to, APPLIANCE_TOKEN="opensesame") as process:
            assert (await line(process)).startswith("frame 1")


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (("--to", "device:8080"), 2, "invalid URL. Write it as https://device:8080, or this-device"),
        (("--to", "me:hunter2@device"), 2, "--to me:***@device: invalid URL"),
        (("--to", "env:NOT_THERE"), 2, "--to env:NOT_THERE: environment variable 'NOT_THERE' is unset or empty"),
        (("--source", "@/nowhere/source"), 2, "--source @/nowhere/source: cannot read the file: No such file"),
        (("--to", "http://device", "--source", "me:hunter2@camera/1"), 1, "me:***@camera/1: no such file"),
        (("--to", "http://device", "--on", "person"), 2, "--on person -- /path/to/command"),
        (
            ("--to", "http://device", "--on", "person", "--", "no-such-program"),
            2,
            "command 'no-such-program' not found",
        ),
        (
            ("--to", "http://device", "--token-file", "/nowhere/token"),
            2,
            "/nowhere/token: cannot read the camera's token",
        ),
        (("--to", "http://device", "--source", "/nowhere"), 1, "/nowhere: no such file, folder or device"),
        (("--to", "http://device", "--source", "picamera"), 1, "sudo apt install python3-picamera2"),
    ],
    ids=str,
)
async def test_an_invalid_option_is_one_line_of_error(arguments: tuple[str, ...], status: int, text: str) -> None:
    code, err = await failing(*arguments)
    assert code == status
    (only,) = err.splitlines()
    assert only.startswith("appliance: ")
    assert text in only


async def test_the_agent_loads_no_engine_and_no_server() -> None:
    """The agent runs on boards with little memory."""
    program = (
        "import sys, appliance.camera.command, appliance.camera.sources.demo, appliance.camera.sources.folder;"
        "print(sorted({'openvino', 'prometheus_client', 'av', 'zeroconf'} & set(sys.modules)))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    out, _ = await process.communicate()
    assert out.decode().strip() == "[]"


async def test_an_address_with_a_password_is_not_in_the_process_list(live: Running, tmp_path: Path) -> None:
    """As in the unit, the source comes from the environment or a file."""
    (tmp_path / "source").write_text("demo\n")
    for source, environment in (("env:SOURCE", {"SOURCE": "demo"}), (f"@{tmp_path}/source", {})):
        async with camera(
            "--to", "env:TO", "--name", "gate", "--source", source, TO=live.url, **environment
        ) as process:
            assert (await line(process)).startswith("frame 1")
            words = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
            assert b"demo" not in words
            assert live.url.encode() not in words


def test_the_unit_passes_no_address_as_an_argument() -> None:
    unit = (ROOT / "systemd/units/appliance-camera@.service").read_text(encoding="utf-8")
    (command,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    assert "$" not in command
    assert "--to env:TO" in command
    assert "--source env:SOURCE" in command


async def test_sigterm_ends_an_agent_whose_video_jumps_a_day_ahead(live: Running, tmp_path: Path) -> None:
    path = stamped(tmp_path / "jump.mkv", [0.0, 86400.0])
    async with camera("--to", live.url, "--source", str(path)) as process:
        assert (await line(process)).startswith("frame 1")
