"""NNCF's own environment: made once in the user's cache, so that the service's never holds it.

pip knows this machine's index, proxies and certificates by the user's own settings; this file names no registry.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from appliance.errors import ModelError

NNCF = "3.4.0"
_SIZE_MB = 530
_LEAST_DISK = 1_500_000_000
"""The environment, pip's copies while it works, and the quantised networks."""

Say = Callable[[str], None]
WORKER = Path(__file__).with_name("nncf_worker.py")


def requirements() -> tuple[str, ...]:
    """What is installed: NNCF as tried, and OpenVINO as the service has it, so that it can read what comes out."""
    return (f"nncf=={NNCF}", f"openvino=={version('openvino')}")


def folder() -> Path:
    """Where the environment lies: one for each set of versions."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    name = "-".join(word.replace("==", "-") for word in requirements())
    return cache / "edge-detection-appliance" / f"{name}-python{sys.version_info[0]}.{sys.version_info[1]}"


def ready(place: Path) -> bool:
    """Whether the environment is there, whole."""
    made_of = place / "made-of.txt"
    return made_of.exists() and made_of.read_text(encoding="utf-8") == "\n".join(requirements())


def ensure(place: Path, say: Say) -> Path:
    """The environment's Python, made first if it is not there. Raises ModelError quantize_failed, naming the step."""
    python = place / "bin" / "python"
    if ready(place):
        return python
    say(f"NNCF gets an environment of its own in {place}: about {_SIZE_MB} MB, once; a minute or so, then it stays")
    _check_disk(place)
    say("  [1/2] python -m venv")
    _step([sys.executable, "-m", "venv", "--clear", str(place)], "Install it with: sudo apt install python3-venv")
    say(f"  [2/2] pip install {' '.join(requirements())}")
    pip = [str(python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check", *requirements()]
    _step(pip, "pip needs a package index: the internet, or one set by `pip config set global.index-url URL`")
    (place / "made-of.txt").write_text("\n".join(requirements()), encoding="utf-8")
    return python


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
        status = self._process.wait()
        if status in (-9, 137):
            raise ModelError(
                "NNCF was stopped by the system: not enough memory. Close other programs, give fewer --pictures, or "
                "do it on another computer and copy the folder of the new model",
                "quantize_failed",
            )
        told = [line.strip() for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        raise ModelError(f"NNCF failed: {told[-1] if told else f'status {status}'}", "quantize_failed")


@contextmanager
def start(python: Path, network: Path, calibration: Path) -> Iterator[Worker]:
    """The NNCF program for one network and a folder of calibration inputs; ended on the way out."""
    with tempfile.TemporaryDirectory(prefix="nncf-") as scratch:
        log = Path(scratch, "log")
        environment = os.environ | {"OPENVINO_TELEMETRY_CONSENT": "0", "PYTHONNOUSERSITE": "1"}
        environment.pop("PYTHONPATH", None)  # only its own packages
        command = [str(python), str(WORKER), str(network.resolve()), str(calibration)]
        with (
            log.open("w") as told,
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=told, text=True, env=environment
            ) as process,
        ):
            try:
                yield Worker(process, log)
            finally:
                process.kill()


def _check_disk(place: Path) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(place.parent).free
    except OSError as error:
        raise ModelError(
            f"{place.parent} cannot be written ({error.strerror}); set XDG_CACHE_HOME to a folder that can",
            "quantize_failed",
        ) from None
    if free < _LEAST_DISK:
        raise ModelError(
            f"{place.parent} has {free / 1e9:.1f} GB free, and {_LEAST_DISK / 1e9:.1f} GB are needed; make room, or "
            "set XDG_CACHE_HOME to a folder on another disk",
            "quantize_failed",
        )


def _step(command: list[str], do: str) -> None:
    shown = sys.stderr.isatty()  # pip's progress bar is for a person; a log gets the last line of what went wrong
    try:
        done = subprocess.run(
            command, stdout=None if shown else subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=3600
        )
    except (subprocess.TimeoutExpired, OSError) as error:
        raise ModelError(f"`{' '.join(command[1:4])}` failed: {error}. {do}", "quantize_failed") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("WARNING")]
        why = lines[-1] if lines else f"status {done.returncode}"
        raise ModelError(f"`{' '.join(command[1:4])}` failed: {why}. {do}", "quantize_failed")
