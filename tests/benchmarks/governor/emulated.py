"""The real service on a machine whose thermal zone is a file that a benchmark writes. Needs root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.benchmarks.service import ROOT, Service

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
