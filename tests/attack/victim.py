"""The service under attack, observed from outside: its memory, watchdog pings and log."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from appliance.tls import make_certificate
from appliance.tls.made_here import files_in
from tests.attack.wire import GUARDED_TOKEN

ROOT = Path(__file__).parents[2]
_READY_WITHIN_S = 120
_WATCHDOG_S = 1.0
"""The watchdog interval that the service is given; it pings twice as often.

The unit has 8 s; the goal is gaps below 2 s.
"""
_NOFILE = 8192
"""LimitNOFILE= of the unit."""
_SETTINGS = f"""
[flow]
min_interval_s = 0.5

[cameras.guarded]
token = "{GUARDED_TOKEN}"
"""


@dataclass(slots=True)
class Victim:
    """One running service."""

    process: subprocess.Popen[str]
    url: str
    log: Path
    pings_s: list[float] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def resident_mb(self, *, peak: bool = False) -> float:
        """Resident memory now, or its largest value since `forget_peak`."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"{'VmHWM' if peak else 'VmRSS'}:\s+(\d+) kB", status)
        return int(found[1]) / 1024 if found else 0.0  # an ended process has none

    def forget_peak(self) -> None:
        """Reset the kernel's peak of resident memory (proc(5), clear_refs)."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def longest_gap_s(self, since_s: float, until_s: float) -> float:
        """The longest time between two watchdog pings, or between a ping and an end of the period."""
        inside = [at for at in self.pings_s if since_s <= at <= until_s]
        moments = [since_s, *inside, until_s]
        return max(after - before for before, after in itertools.pairwise(moments))

    def log_lines(self) -> list[str]:
        return self.log.read_text(errors="replace").splitlines()


@contextlib.contextmanager
def running(folder: Path, *settings: str) -> Iterator[Victim]:
    """Run `appliance serve` with the default model on a free local port, with a fake service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications, (folder / "service.log").open("a") as log:
        notifications.bind(str(folder / f"notify-{time.monotonic_ns()}"))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("APPLIANCE_")}
        environment |= {"NOTIFY_SOCKET": notifications.getsockname(), "WATCHDOG_USEC": f"{_WATCHDOG_S * 1e6:.0f}",
                        "APPLIANCE_CONFIG": os.devnull, "APPLIANCE_CONTROL": str(folder / "control.sock")}  # fmt: skip
        certificate = files_in(folder / "tls")
        make_certificate.main(folder / "tls", time.time())
        tls = f'\n[tls]\ncertificate = "{certificate.certificate}"\nkey = "{certificate.key}"\n'
        (folder / "victim.toml").write_text(_SETTINGS + tls)
        command = [sys.executable, "-m", "appliance", "serve", "--host", "127.0.0.1", "--port", "0", "--config",
                   str(folder / "victim.toml"), "--profile", "realtime", "--set", f"state.dir={folder}"]  # fmt: skip
        for setting in settings:
            command += ["--set", setting]
        limited = ["bash", "-c", f'ulimit -n {_NOFILE}; exec "$@"', "bash", *command]
        process = subprocess.Popen(
            limited, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        )  # fmt: skip
        try:
            victim = Victim(process, _url(process), folder / "service.log")
            threading.Thread(target=_listen, args=(notifications, victim), daemon=True).start()
            yield victim
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()


def _url(process: subprocess.Popen[str]) -> str:
    """Wait until the service is ready; return the URL that it prints."""
    assert process.stdout is not None
    timer = threading.Timer(_READY_WITHIN_S, process.kill)
    timer.start()
    lines = iter(process.stdout.readline, "")
    shown = next((line.split()[-1] for line in lines if "://" in line), "")
    url = shown.partition("#")[0].replace("https://", "http://").rstrip("/")  # the port serves both
    ready = next((line for line in lines if "ready after" in line), None)
    timer.cancel()
    assert ready is not None, "the service did not become ready; see its log"
    threading.Thread(target=process.stdout.read, daemon=True).start()
    return url


def _listen(notifications: socket.socket, victim: Victim) -> None:
    with contextlib.suppress(OSError):
        while True:
            if "WATCHDOG=1" in notifications.recv(1 << 16).decode(errors="replace").split("\n"):
                victim.pings_s.append(time.monotonic())
