"""Run NNCF in its own environment, so that the service's environment never contains it."""

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
_MORE_MEMORY = (
    ". Close other programs, pass fewer --pictures, or quantize on another computer and copy the new model's folder"
)


def environment() -> Environment:
    """The tested version of NNCF, with the OpenVINO version of the service, which must read the result."""
    return Environment("NNCF", ((f"nncf=={NNCF}", f"openvino=={version('openvino')}"),), 530, "quantize_failed")


class Worker:
    """The running NNCF program. `operations`: (name, type) of each operation, in execution order."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process, self._log = process, log
        self.operations: list[tuple[str, str]] = [(name, kind) for name, kind in self._answer()["operations"]]

    def quantize(self, ignored: Sequence[str], output: Path) -> Path:
        """Write the network in INT8, except for the `ignored` operations. Raises ModelError quantize_failed."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"ignored": list(ignored), "output": str(output)}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended; reading its answer below reports why
        self._answer()
        return output

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        status = 0 if line else self._process.wait()
        log = self._log.read_text(errors="replace")
        try:
            if status:
                raise programs.failure(status, log)
            return programs.json_object(line, log)
        except programs.ProgramFailed as error:
            text = f"NNCF failed: {error}{_MORE_MEMORY if error.out_of_memory else ''}"
            raise ModelError(text, "quantize_failed") from None


@contextmanager
def start(python: Path, network: Path, calibration: Path) -> Iterator[Worker]:
    """Start the NNCF program for a network and a folder of calibration inputs; kill it at the end of the block."""
    with tempfile.TemporaryDirectory(prefix="nncf-") as scratch:
        log = Path(scratch, "log")
        command = [str(python), str(WORKER), str(network.resolve()), str(calibration)]
        with (
            log.open("w", encoding="utf-8") as stderr,
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True, env=variables()
            ) as process,
        ):
            try:
                yield Worker(process, log)
            finally:
                process.kill()
