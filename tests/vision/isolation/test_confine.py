"""What a confined process can no longer do. It runs in a process of its own: confinement cannot be undone."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import ctypes, mmap, os, socket, sys
from appliance.vision.isolation.confine import confine

confine(50_000_000)
try:
    {attempt}
except (PermissionError, MemoryError, OSError) as error:
    os.write(1, type(error).__name__.encode())
else:
    os.write(1, b"possible")
os._exit(0)
"""

ATTEMPTS = {
    "read a file": "open('/etc/passwd')",
    "write a file": "open('/tmp/never', 'w')",
    "list a folder": "os.listdir('/')",
    "open a socket": "socket.socket()",
    "start a process": "os.fork()",
    "start a program": "os.execv('/bin/true', ['true'])",
    "signal a process": "os.kill(os.getppid(), 0)",
    "make executable memory": "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)",
    "take more memory": "bytearray(100_000_000)",
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_confined_process_cannot(attempt: str) -> None:
    assert _result(ATTEMPTS[attempt]) in ("PermissionError", "MemoryError", "OSError")


def test_a_confined_process_can_allocate_and_compute() -> None:
    assert _result("sum(bytearray(10_000_000)); os.getpid()") == "possible"


def _result(attempt: str) -> str:
    program = _PROGRAM.format(attempt=attempt)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout
