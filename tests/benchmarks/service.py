"""The service during a benchmark, and the CPU time and memory of its process, read from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from appliance.values import Size
from appliance.vision import decode, scene

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Service:
    """A running service and its process."""

    url: str
    process: psutil.Process

    def cpu_s(self) -> float:
        """Of the service and its processes."""
        times = [process.cpu_times() for process in self._processes()]
        return float(sum(one.user + one.system for one in times))

    def own_bytes(self) -> int:
        """Memory of the service and its processes; shared pages count once."""
        return sum(int(process.memory_full_info().pss) for process in self._processes())

    def _processes(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]

    def resident_bytes(self) -> int:
        return int(self.process.memory_info().rss)

    def health(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.url + "/health", timeout=10) as answer:
            report: dict[str, Any] = json.loads(answer.read())
        return report


@contextmanager
def running(*settings: str, toml: str = "", host: str = "127.0.0.1") -> Iterator[Service]:
    """Run the service on a free port and wait until it is ready. `settings`: `section.key=value`."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "bench.toml")
        file.write_text(toml, encoding="utf-8")
        command = [sys.executable, "-m", "appliance", "serve", "--host", host, "--port", "0", "--config",
                   str(file), "--profile", "realtime", "--set", f"state.dir={folder}"]  # fmt: skip
        for setting in ("log.level=error", *settings):
            command += ["--set", setting]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("APPLIANCE_")}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
        assert process.stdout is not None
        try:
            url = process.stdout.readline().split()[-1].rstrip("/")
            while "ready after" not in process.stdout.readline():
                assert process.poll() is None, "the service did not start"
            yield Service(url, psutil.Process(process.pid))
        finally:
            process.terminate()
            process.wait(20)
            process.stdout.close()


@dataclass(frozen=True, slots=True)
class Load:
    """The results of all cameras, and the CPU time of the service; see load.py for the fields of a camera."""

    cameras: dict[str, dict[str, Any]]
    seconds: float
    cpu_s: float
    generator_cpu_s: float
    """CPU time of the cameras, which run on the same cores."""

    def total(self, field: str) -> int:
        return sum(camera[field] for camera in self.cameras.values())

    @property
    def answered(self) -> int:
        return self.total("answered")

    @property
    def fps(self) -> float:
        """Results a second, as they arrive."""
        return self.total("arrived") / self.seconds

    @property
    def cpu_ms(self) -> float:
        """CPU time of the service per result."""
        return self.cpu_s / max(1, self.total("arrived")) * 1000

    def skipped(self) -> int:
        return sum(sum(camera["skipped"].values()) for camera in self.cameras.values())

    def reasons(self) -> dict[str, int]:
        """Skipped frames by reason."""
        found: Counter[str] = Counter()
        for camera in self.cameras.values():
            found.update(camera["skipped"])
        return dict(found)

    def latency_ms(self, percentile: float, names: Sequence[str] | None = None) -> float:
        latencies = [
            value for name, camera in self.cameras.items() if names is None or name in names
            for value in camera["latencies_ms"]
        ]  # fmt: skip
        return float(np.percentile(latencies, percentile)) if latencies else float("nan")


@contextmanager
def load(url: str, picture: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run load cameras in a separate process. `arguments`: of load.py."""
    command = [sys.executable, "-m", "tests.benchmarks.load", "--url", url, "--picture", str(picture), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def measure(service: Service, picture: Path, *arguments: str) -> Load:
    """Let cameras push, and measure the service's CPU time meanwhile."""
    with load(service.url, picture, *arguments) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        generator = Service("", psutil.Process(process.pid))
        cpu_s, generator_cpu_s, started_s = service.cpu_s(), generator.cpu_s(), time.monotonic()
        assert process.stdout.readline() == "ended\n"
        cpu_s, seconds = service.cpu_s() - cpu_s, time.monotonic() - started_s
        generator_cpu_s = generator.cpu_s() - generator_cpu_s
        return Load(read_load(process), seconds, cpu_s, generator_cpu_s)


def read_load(process: subprocess.Popen[str]) -> dict[str, dict[str, Any]]:
    """Wait for the end of the load cameras; return their results by name."""
    assert process.stdout is not None
    cameras: dict[str, dict[str, Any]] = json.loads(process.stdout.readline())
    return cameras


def draw_picture(folder: Path, size: Size = Size(1280, 720)) -> Path:
    """The drawn scene as a JPEG file."""
    pixels, _ = scene.draw(size)
    path = folder / f"scene-{size.width}.jpg"
    path.write_bytes(decode.encode_jpeg(pixels, 80))
    return path
