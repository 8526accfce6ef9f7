"""Child processes: run a program to its end, and report in one line why it failed."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import ByteReceiveStream

from appliance import durations
from appliance.errors import ApplianceError

_KILLED = (-9, 137)
"""Exit statuses of a process that the kernel's out-of-memory killer ended; 137 through a shell."""


class ProgramFailed(ApplianceError):
    """A program could not be started, took too long or failed; the text is one line without the program's name.

    `out_of_memory`: the kernel's out-of-memory killer most likely ended it.
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

    `on_terminal`: on a terminal, its stdout (a progress bar) is shown there and not returned.
    """
    return _finished(command, timeout_s, cwd, env, shown=on_terminal and sys.stderr.isatty()).stdout or ""


def run_json(
    command: Sequence[str], *, timeout_s: float, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run a program whose last line of output is a JSON object, and return the object. Raises ProgramFailed."""
    done = _finished(command, timeout_s, cwd, env)
    return json_object(done.stdout.strip().rpartition("\n")[2], done.stderr)


async def run_async(command: Sequence[str], *, timeout_s: float, stdin: bytes | None = None) -> bytes:
    """Run a program and return what it wrote to stdout; kill it when cancelled. Raises ProgramFailed."""
    try:
        with anyio.fail_after(timeout_s):
            status, out, log = await _finished_async(command, stdin)
    except TimeoutError:
        raise _too_slow(timeout_s) from None
    except OSError as error:
        raise _not_started(command, error) from None
    if status:
        raise failure(status, log.decode(errors="replace"))
    return bytes(out)


def json_object(line: str, log: str) -> dict[str, Any]:
    """The JSON object in a line of a program's output. Raises ProgramFailed with the last line of its log."""
    try:
        result = json.loads(line)
    except (ValueError, RecursionError):
        result = None
    if not isinstance(result, dict):
        raise failure(0, log)
    return result


def failure(status: int, log: str) -> ProgramFailed:
    """Why a program ended with this exit status: the last line of its log that is not a warning, if there is one.

    Status 0: it ended without a result.
    """
    if status in _KILLED:
        return ProgramFailed("killed by the system: not enough memory", out_of_memory=True)
    lines = [line.strip() for line in log.splitlines() if line.strip() and not line.startswith("WARNING")]
    if status == 0:
        return ProgramFailed("it ended without a result" + (f"; last message: {lines[-1]}" if lines else ""))
    return ProgramFailed(lines[-1] if lines else _ended(status))


def _finished(
    command: Sequence[str], timeout_s: float, cwd: Path | None, env: Mapping[str, str] | None, *, shown: bool = False
) -> subprocess.CompletedProcess[str]:
    """`shown`: the terminal shows its stdout, which is not captured then."""
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
    return done


async def _finished_async(command: Sequence[str], stdin: bytes | None) -> tuple[int, bytearray, bytearray]:
    """Exit status, stdout and stderr. As anyio.run_process, but for a cancellation while the program starts: asyncio
    then leaves pipes open, and the program running for a while.
    """
    out, log = bytearray(), bytearray()

    async def drain(stream: ByteReceiveStream | None, into: bytearray) -> None:
        assert stream is not None
        async for part in stream:
            into += part

    with anyio.CancelScope(shield=True):
        process = await anyio.open_process(command, stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE)
    async with process:
        async with anyio.create_task_group() as group:
            group.start_soon(drain, process.stdout, out)
            group.start_soon(drain, process.stderr, log)
            if process.stdin is not None and stdin is not None:
                with contextlib.suppress(anyio.BrokenResourceError):  # it ended without reading all: its status counts
                    await process.stdin.send(stdin)
                await process.stdin.aclose()
        return await process.wait(), out, log


def _ended(status: int) -> str:
    """`exit status 3` or `ended by SIGSEGV`; a shell reports a child's signal as 128 plus its number."""
    number = -status if status < 0 else status - 128
    try:
        return f"ended by {signal.Signals(number).name}"
    except ValueError:
        return f"exit status {status}"


def _too_slow(timeout_s: float) -> ProgramFailed:
    return ProgramFailed(f"no result after {durations.in_words(timeout_s)}")


def _not_started(command: Sequence[str], error: OSError) -> ProgramFailed:
    return ProgramFailed(f"cannot start {command[0]}: {error.strerror or error}")
