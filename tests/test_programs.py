"""Child processes: output, failures and cancellation."""

from __future__ import annotations

import asyncio
import gc
import sys
import warnings
from pathlib import Path

import anyio
import pytest

from appliance import programs
from appliance.programs import ProgramFailed

pytestmark = pytest.mark.anyio


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_output_of_a_program_that_succeeds_is_returned() -> None:
    assert programs.run(python("print('done')"), timeout_s=60) == "done\n"


def test_the_last_line_of_output_is_the_result() -> None:
    assert programs.run_json(python("print('noise'); print('{\"a\": 1}')"), timeout_s=60) == {"a": 1}


@pytest.mark.parametrize("output", ["", "\\n", "done", "[1]", "{", "[" * 100_000])
def test_a_program_that_ends_without_a_result_is_reported(output: str) -> None:
    program = f"import sys; print('about to write', file=sys.stderr); sys.stdout.write('{output}')"
    with pytest.raises(ProgramFailed, match="a result; last message: about to write"):
        programs.run_json(python(program), timeout_s=60)
    with pytest.raises(ProgramFailed, match=r"^it ended without a result$"):
        programs.run_json(python("pass"), timeout_s=60)


FAILURES = [
    (python("import sys; print('reason', file=sys.stderr); sys.exit(1)"), "reason", False),
    (python("import sys; print('reason\\nWARNING: old pip', file=sys.stderr); sys.exit(1)"), "reason", False),
    (python("import sys; sys.exit(3)"), "exit status 3", False),
    (python("import os; os.kill(os.getpid(), 11)"), "ended by SIGSEGV", False),
    (("/bin/sh", "-c", "exit 134"), "ended by SIGABRT", False),
    (("/bin/sh", "-c", "exit 255"), "exit status 255", False),
    (python("import os; os.kill(os.getpid(), 9)"), "not enough memory", True),
    (("/nowhere/to/be/found",), "cannot start /nowhere/to/be/found: No such file", False),
]


@pytest.mark.parametrize(("command", "text", "out_of_memory"), FAILURES)
async def test_a_failure_is_one_line_that_names_the_reason(
    command: tuple[str, ...], text: str, out_of_memory: bool
) -> None:
    with pytest.raises(ProgramFailed, match=text) as waited:
        programs.run(command, timeout_s=60)
    with pytest.raises(ProgramFailed, match=text) as awaited:
        await programs.run_async(command, timeout_s=60)
    assert waited.value.out_of_memory is awaited.value.out_of_memory is out_of_memory


async def test_a_program_that_takes_too_long_is_killed_and_reported() -> None:
    with pytest.raises(ProgramFailed, match="no result after"):
        programs.run(python("import time; time.sleep(60)"), timeout_s=0.2)
    with pytest.raises(ProgramFailed, match="no result after"):
        await programs.run_async(python("import time; time.sleep(60)"), timeout_s=0.2)


async def test_a_program_ends_when_the_task_that_waits_for_it_is_cancelled(tmp_path: Path) -> None:
    began = tmp_path / "began"
    program = python(f"import os, time\nopen({str(began)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)")

    async def wait() -> None:
        await programs.run_async(program, timeout_s=600)

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        with anyio.fail_after(30):
            while not began.exists() or not began.read_text():
                await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    assert not Path("/proc", began.read_text()).exists()


def test_a_program_that_is_cancelled_while_it_starts_leaves_nothing_behind() -> None:
    """A service that stops closes its event loop soon after."""

    async def cancelled(steps: int) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: programs.run_async(python("import time; time.sleep(600)"), timeout_s=600))
            for _ in range(steps):
                await asyncio.sleep(0)
            group.cancel_scope.cancel()

    gc.collect()  # what earlier tests have left
    for steps in range(20):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            asyncio.run(cancelled(steps))
            gc.collect()
        assert not [str(one.message) for one in seen]


async def test_a_program_that_does_not_read_its_input_has_its_output_returned() -> None:
    assert await programs.run_async(python("print(7)"), timeout_s=60, stdin=bytes(10_000_000)) == b"7\n"
