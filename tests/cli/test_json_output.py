"""Every command with --json ends quietly when its reader goes (`| head -1`), and by Ctrl-C.

The commands are read from the parser: a new one fails here until it has arguments to be tried with.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.cli import _parser
from tests.conftest import ROOT, Serve
from tests.fakes import CANARY_ROWS, FakeEngine

_WITHIN_S = 60


def _leaves(parser: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The commands with --json, by the words that call them."""
    actions = parser._actions  # type: ignore[attr-defined]
    inner = [(name, one) for action in actions if hasattr(action, "choices") and isinstance(action.choices, dict)
             for name, one in action.choices.items()]  # fmt: skip
    if inner:
        return [found for name, one in inner for found in _leaves(one, (*path, name))]
    return [path] if any("--json" in one.option_strings and one.nargs == 0 for one in actions) else []


Arguments = Callable[[str, str, Path], list[str]]
TRIED: dict[tuple[str, ...], Arguments] = {
    ("camera",): lambda url, models, picture: ["--to", url, "--source", "demo", "--name", "gate"],
    ("detect",): lambda url, models, picture: [str(picture), str(picture), "--set", models],
    ("health",): lambda url, models, picture: ["--to", url],
    ("update", "status"): lambda url, models, picture: [],
}
"""What each is called with: the URL of a service, a setting for the models, a picture."""


async def _start(leaf: tuple[str, ...], url: str, models: str, picture: Path) -> Process:
    command = [sys.executable, "-m", "appliance", *leaf, "--json", *TRIED[leaf](url, models, picture)]
    environment = os.environ | {"APPLIANCE_CONFIG": os.devnull}
    return await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment, stdout=PIPE, stderr=PIPE)


@pytest.fixture
def picture(scene_jpeg: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "street.jpg"
    path.write_bytes(scene_jpeg)
    return path


def test_every_command_with_json_is_tried() -> None:
    assert set(_leaves(_parser())) == set(TRIED)


@pytest.mark.parametrize("leaf", TRIED, ids=" ".join)
async def test_it_ends_quietly_when_its_reader_has_read_enough(
    leaf: tuple[str, ...], serve: Serve, models_setting: str, picture: Path
) -> None:
    async with serve(FakeEngine(CANARY_ROWS), wait_ready=True) as running:
        process = await _start(leaf, running.url, models_setting, picture)
        assert process.stdout is not None
        assert process.stderr is not None
        first = await asyncio.wait_for(process.stdout.readline(), _WITHIN_S)
        assert first[:1] in b"{[", first
        transport = process._transport  # type: ignore[attr-defined]  # asyncio has no other way to close one pipe
        transport.get_pipe_transport(1).close()
        error = await asyncio.wait_for(process.stderr.read(), _WITHIN_S)
        assert (await process.wait(), b"Traceback" in error) == (0, False), error.decode()


@pytest.mark.parametrize("after", ["a result", "the start"])
async def test_it_ends_quietly_by_ctrl_c(after: str, serve: Serve, models_setting: str, picture: Path) -> None:
    async with serve(FakeEngine(CANARY_ROWS), wait_ready=True) as running:
        process = await _start(("camera",), running.url, models_setting, picture)
        assert process.stdout is not None
        if after == "a result":
            assert json.loads(await asyncio.wait_for(process.stdout.readline(), _WITHIN_S))["frame_id"] is not None
        else:
            await _imports(process)
        process.send_signal(signal.SIGINT)
        _, error = await asyncio.wait_for(process.communicate(), _WITHIN_S)
        assert (process.returncode, b"Traceback" in error) == (0, False), error.decode()


async def _imports(process: Process) -> None:
    """Wait until the interpreter has begun to load the program: its own start is not ours."""
    while "numpy" not in Path(f"/proc/{process.pid}/maps").read_text():
        await asyncio.sleep(0.01)
