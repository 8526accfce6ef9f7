"""NNCF at work: its program runs in an environment of its own, so that the service's never holds it."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from appliance import programs
from appliance.errors import ModelError
from appliance.workshop.environment import Environment, variables

NNCF = "3.4.0"
WORKER = Path(__file__).with_name("nncf_worker.py")


def environment() -> Environment:
    """NNCF as tried, and OpenVINO as the service has it, so that it can read what comes out."""
    return Environment("NNCF", ((f"nncf=={NNCF}", f"openvino=={version('openvino')}"),), 530, "quantize_failed")


class Worker:
    """The running NNCF program. `operations`: (name, type) of each operation, in the order in which they run."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process, self._log = process, log
        self.operations: list[tuple[str, str]] = [(name, kind) for name, kind in self._answer()["operations"]]

    def quantize(self, ignored: Sequence[str], output: Path) -> Path:
        """Write the network as INT8, the `ignored` operations left as they are. Raises ModelError quantize_failed."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"ignored": list(ignored), "output": str(output)}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended; its answer is missing below, and says why
        self._answer()
        return output

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        error = programs.failure(self._process.wait(), self._log.read_text(errors="replace"))
        advice = (
            ". Close other programs, give fewer --pictures, or quantize on another computer and copy the new model's "
            "folder"
        )
        raise ModelError(f"NNCF failed: {error}{advice if error.out_of_memory else ''}", "quantize_failed")


@contextmanager
def start(python: Path, network: Path, calibration: Path) -> Iterator[Worker]:
    """The NNCF program for one network and a folder of calibration inputs; ended on the way out."""
    with tempfile.TemporaryDirectory(prefix="nncf-") as scratch:
        log = Path(scratch, "log")
        command = [str(python), str(WORKER), str(network.resolve()), str(calibration)]
        with (
            log.open("w", encoding="utf-8") as told,
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=told, text=True, env=variables()
            ) as process,
        ):
            try:
                yield Worker(process, log)
            finally:
                process.kill()
