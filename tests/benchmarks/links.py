"""MQTT: latency of frames while 10,000 events wait for a broker that is away, and while they are sent to it.

Each phase is compared with a calm one just before it, with the broker connected and nothing to send.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from tests.benchmarks.links_server import EVENTS
from tests.benchmarks.report import Row
from tests.benchmarks.service import ROOT, Service, draw_picture, measure
from tests.links.brokers import Broker, broker

_ROUNDS = 4
_LOAD = ("--cameras", "2", "--mode", "rate", "--rate", "8", "--warm-up", "1", "--seconds", "10")


@dataclass(frozen=True, slots=True)
class LinkedService:
    """A service with a link to a broker, and its output."""

    service: Service
    process: subprocess.Popen[str]

    def queue(self) -> int:
        """Queue the events; return how many wait."""
        return int(self._ask(signal.SIGUSR1)[1])

    def wait(self, *, connected: bool) -> None:
        """Wait until the broker has everything, or until it is noticed to be away."""
        deadline_s = time.monotonic() + 300
        while True:
            _, waiting, is_connected = self._ask(signal.SIGUSR2)
            if (is_connected == "True") is connected and (not connected or waiting == "0"):
                return
            assert time.monotonic() < deadline_s
            time.sleep(0.2)

    def _ask(self, number: signal.Signals) -> list[str]:
        assert self.process.stdout is not None
        self.process.send_signal(number)
        return self.process.stdout.readline().split()


@contextmanager
def linked(port: int, folder: Path) -> Iterator[LinkedService]:
    flags = [
        "server.host=127.0.0.1", "server.port=0", f"state.dir={folder}", "flow.max_side=320", "mqtt.host=127.0.0.1",
        f"mqtt.port={port}", f"mqtt.queue={EVENTS}",
    ]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.links_server", *flags], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        assert process.stdout.readline() == "ready\n", "the service did not start"
        yield LinkedService(Service(url, psutil.Process(process.pid)), process)
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


@dataclass
class Latencies:
    """Latencies of frames by phase, ms."""

    calm: list[float] = field(default_factory=list)
    away: list[float] = field(default_factory=list)
    sending: list[float] = field(default_factory=list)


def run(folder: Path) -> list[Row]:
    picture = draw_picture(folder)
    seen, grown = Latencies(), 0
    with broker(folder) as mosquitto, linked(mosquitto.port, folder) as device:
        device.wait(connected=True)
        measure(device.service, picture, *_LOAD)
        for _ in range(_ROUNDS):
            seen.calm += _latencies(device, picture)
            grown = max(grown, _away(device, mosquitto, picture, seen))
            mosquitto.start()
            time.sleep(2)  # it connects again; then the events take 40 s or more
            seen.sending += _latencies(device, picture)
            device.wait(connected=True)
    calm = _p99(seen.calm)
    return [
        Row("MQTT: p99 of frames, 10,000 events queued / calm", _p99(seen.away) / calm, 1.1, True,
            f"{_p99(seen.away):.0f} of {calm:.0f} ms"),
        Row("MQTT: p99 of frames, 10,000 events being sent / calm", _p99(seen.sending) / calm, 1.1, True,
            f"{_p99(seen.sending):.0f} of {calm:.0f} ms"),
        Row("MQTT: memory of 10,000 queued events, MB", grown / 1e6, 20, True, ""),
    ]  # fmt: skip


def _away(device: LinkedService, mosquitto: Broker, picture: Path, seen: Latencies) -> int:
    """Measure while the broker is away and events wait; return by how many bytes the service has grown."""
    mosquitto.kill()
    device.wait(connected=False)
    before = device.service.own_bytes()
    assert device.queue() == EVENTS
    grown = device.service.own_bytes() - before
    seen.away += _latencies(device, picture)
    return grown


def _latencies(device: LinkedService, picture: Path) -> list[float]:
    load = measure(device.service, picture, *_LOAD)
    return [value for camera in load.cameras.values() for value in camera["latencies_ms"]]


def _p99(latencies_ms: list[float]) -> float:
    return float(np.percentile(latencies_ms, 99))
