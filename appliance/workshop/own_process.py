"""Run an unknown network in a process of its own.

A network can crash the process that compiles it, use all memory or never end, and Ctrl-C does not interrupt it. None of
this may take down the import or the service.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from appliance import programs
from appliance.errors import ModelError

_LONGEST_S = 600.0
"""A small board needs half a minute for a nano network; one that takes this long is far too large for it."""
_PACKAGES = Path(__file__).parent.parent


class _Verdict(msgspec.Struct):
    """The result of the process: why the model does not run; empty: it runs."""

    error: str = ""
    code: str = ""


def run(module: str, arguments: Sequence[str], name: str, *, longest_s: float = _LONGEST_S) -> None:
    """Run a module that calls `report`; `name`: the model's, for the error.

    Raises ModelError: what the module raised, or model_unsupported if its process did not end well.
    """
    command = [sys.executable, "-m", module, *arguments]
    try:
        verdict = msgspec.convert(programs.run_json(command, timeout_s=longest_s, cwd=_PACKAGES), _Verdict)
    except programs.ProgramFailed as error:
        raise ModelError(
            f"{name} does not run on this device: the trial process ended early ({error}). Try a smaller model, or "
            "export it again",
            "model_unsupported",
        ) from None
    if verdict.error:
        raise ModelError(verdict.error, verdict.code)


def report(trial: Callable[[], None]) -> None:
    """In that process: run the trial, and write the ModelError or OSError that it raises as the last line."""
    with contextlib.suppress(OSError):  # if memory runs out, the kernel kills this process first
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    logging.disable(logging.CRITICAL)
    verdict = _Verdict()
    try:
        trial()
    except ModelError as error:
        verdict = _Verdict(str(error), error.code)
    except OSError as error:
        verdict = _Verdict(f"{error.filename or 'a file'}: {error.strerror or error}", "model_corrupt")
    sys.stdout.write(msgspec.json.encode(verdict).decode())
