"""The exit of a process while a thread is still in the engine."""

from __future__ import annotations

import subprocess
import sys

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


def run(how: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, how], stdout=subprocess.PIPE, text=True, timeout=30, cwd=ROOT
    )
    return done.returncode, done.stdout.split("\n")[:-1]


def test_a_process_exits_at_once_while_a_thread_is_in_the_engine() -> None:
    assert run("busy") == (3, ["served"])


def test_a_process_without_such_a_thread_exits_normally() -> None:
    assert run("idle") == (0, ["served", "torn down"])
