"""The exit of a process while a thread is still in the engine, or waits for a name server."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT

_PROGRAM = """
import atexit, sys, threading, time
from appliance.service.ending import end_around_the_engine

atexit.register(print, "torn down")
if sys.argv[1] == "busy":
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print("served")
end_around_the_engine(3)
"""


def run(how: str, program: str = _PROGRAM) -> tuple[int, list[str]]:
    done = subprocess.run([sys.executable, "-c", program, how], stdout=subprocess.PIPE, text=True, timeout=30, cwd=ROOT)
    return done.returncode, done.stdout.split("\n")[:-1]


def test_a_process_exits_at_once_while_a_thread_is_in_the_engine() -> None:
    assert run("busy") == (3, ["served"])


def test_a_process_without_such_a_thread_exits_normally() -> None:
    assert run("idle") == (0, ["served", "torn down"])


_LOOKUP = """
import asyncio, atexit, sys, time
from appliance.service.ending import run_and_end

atexit.register(print, "torn down")

async def service():
    lookup = asyncio.get_running_loop().run_in_executor(None, time.sleep, 60 if sys.argv[1] == "busy" else 0.1)
    await asyncio.wait({lookup}, timeout=0.01)
    print("served")

asyncio.run(run_and_end(service(), 3))
"""


@pytest.mark.parametrize(("how", "ended"), [("busy", (3, ["served"])), ("idle", (0, ["served", "torn down"]))])
def test_a_process_does_not_wait_for_a_name_server_that_does_not_answer(how: str, ended: tuple[int, list[str]]) -> None:
    """systemd waits for 15 s, and two such servers keep a thread for 20."""
    assert run(how, _LOOKUP) == ended
