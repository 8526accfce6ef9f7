"""The real service on a machine whose thermal zone is a file that a benchmark writes. Needs root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.benchmarks.service import ROOT, Service, load

_ENTER = 'for d in thermal hwmon; do [ ! -e /sys/class/$d ] || mount --bind "$0/$d" /sys/class/$d; done; exec "$@"'


class ThermalZone:
    """An emulated /sys/class/thermal with one zone below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.tree = folder / "sys"
        (self.tree / "thermal/thermal_zone0").mkdir(parents=True, exist_ok=True)
        (self.tree / "hwmon").mkdir(exist_ok=True)
        (self.tree / "thermal/thermal_zone0/type").write_text("cpu-thermal\n")

    def show(self, temp_c: float) -> None:
        """Write the temperature like the kernel: in millidegrees, and atomically."""
        self.write(f"{round(temp_c) * 1000}\n")

    def write(self, text: str) -> None:
        """Write any content."""
        new = self.tree / "new"
        new.write_text(text)
        new.replace(self.tree / "thermal/thermal_zone0/temp")


_FIRST_FPS, _PART, _MEASURE_S = 3.0, 0.4, 12.0
"""The cameras use this part of the machine. If they used less, the chip would be given so much heat for each second of
CPU time that a network which is compiled, on all cores, would heat it like no board."""


def cameras(fps: float) -> tuple[str, ...]:
    """Arguments for four cameras that send this often each."""
    return ("--cameras", "4", "--mode", "rate", "--rate", *[f"{fps:.2f}"] * 4)


def steady_fps(service: Service, picture: Path) -> float:
    """How often each of four cameras sends so that together they use _PART of this machine."""
    with load(service.url, picture, *cameras(_FIRST_FPS), "--seconds", "60"):
        return _FIRST_FPS * _PART / use_of(service)


def use_of(service: Service) -> float:
    """The part of the machine's CPU time that the service uses now, 0-1. Waits until it is steady."""
    time.sleep(5)
    before_s = service.cpu_s()
    time.sleep(_MEASURE_S)
    return (service.cpu_s() - before_s) / _MEASURE_S / (psutil.cpu_count() or 1)


def may_mount() -> bool:
    """Whether this machine lets the benchmark emulate a zone."""
    if shutil.which("unshare") is None or not Path("/sys/class/thermal").exists():
        return False
    probe = ["unshare", "--mount", "mount", "--bind", "/tmp", "/sys/class/thermal"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


@contextmanager
def running(folder: Path, zone: ThermalZone, *settings: str) -> Iterator[Service]:
    """Start the service in a mount namespace of its own with this zone, and wait until it is ready."""
    command = ["unshare", "--mount", "sh", "-c", _ENTER, str(zone.tree), sys.executable, "-m", "appliance", "serve",
               "--host", "127.0.0.1", "--port", "0", "--profile", "realtime", "--config", os.devnull]  # fmt: skip
    for setting in ("log.level=error", "cache.enabled=false", *settings):
        command += ["--set", setting]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("APPLIANCE_")}
    environment["XDG_RUNTIME_DIR"] = str(folder)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().split()[-1].rstrip("/")
        process.stdout.readline()  # ready
        yield Service(url, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()
