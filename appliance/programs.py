"""Child processes: run a program to its end, and say in one line why it failed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio

from appliance.errors import ApplianceError

_KILLED = (-9, 137)
"""How a process ends that the kernel killed for want of memory; 137 through a shell."""


class ProgramFailed(ApplianceError):
    """A program could not be started, took too long, or ended with an error; the text is one line without its name.

    `out_of_memory`: the kernel most likely killed it for want of memory.
    """

    code = "program_failed"

    def __init__(self, message: str, *, out_of_memory: bool = False) -> None:
        super().__init__(message)
        self.out_of_memory = out_of_memory


def run(
    command: Sequence[str],
    *,
    timeout_s: float,
    on_terminal: bool = False,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a program and return what it wrote to stdout. Raises ProgramFailed.

    `on_terminal`: where a person watches, its stdout (a progress bar) goes to the terminal and is not returned.
    """
    shown = on_terminal and sys.stderr.isatty()
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=None if shown else subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, errors="replace", timeout=timeout_s, cwd=cwd, env=env,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise _too_slow(timeout_s) from None
    except OSError as error:
        raise _not_started(command, error) from None
    if done.returncode:
        raise failure(done.returncode, done.stderr)
    return done.stdout or ""


async def run_async(command: Sequence[str], *, timeout_s: float) -> None:
    """Run a program to its end, or kill it when cancelled. Raises ProgramFailed."""
    try:
        with anyio.fail_after(timeout_s):
            done = await anyio.run_process(command, check=False)
    except TimeoutError:
        raise _too_slow(timeout_s) from None
    except OSError as error:
        raise _not_started(command, error) from None
    if done.returncode:
        raise failure(done.returncode, done.stderr.decode(errors="replace"))


def failure(status: int, log: str) -> ProgramFailed:
    """Why a program ended with this exit status: the last line of its log that is no warning, where it has one."""
    if status in _KILLED:
        return ProgramFailed("the system stopped it: not enough memory", out_of_memory=True)
    lines = [line.strip() for line in log.splitlines() if line.strip() and not line.startswith("WARNING")]
    return ProgramFailed(lines[-1] if lines else f"exit status {status}")


def _too_slow(timeout_s: float) -> ProgramFailed:
    limit = f"{timeout_s / 3600:g} h" if timeout_s >= 3600 else f"{timeout_s / 60:g} min"
    return ProgramFailed(f"it took more than {limit}")


def _not_started(command: Sequence[str], error: OSError) -> ProgramFailed:
    return ProgramFailed(f"{command[0]} cannot be started: {error.strerror or error}")
