"""`python -m tests.site.trial.device NAME FOLDER SECTION.KEY=VALUE…`: one device of the trial site.

The engine takes 50 ms for a frame, one at a time, and its model has the device's name, so that each result says where
it comes from. The sensors read the file tree FOLDER/board; its chip warms up as the engine works, from the temperature
in FOLDER/ambient on. FOLDER/publish.TIME says how long publishing took.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from appliance.device import logs
from appliance.device.sensors.machine import MachineSensors
from appliance.ports import Raw, T, Tensor
from appliance.service import self_knowledge, site, supervise
from appliance.settings import loader
from appliance.settings.loader import Chosen
from appliance.site.bus import Bus
from appliance.site.exchange import Exchange
from tests.fakes import CANARY_ROWS, FakeEngine, fake_network

COST_S = 0.05
TEMP = "sys/devices/virtual/thermal/thermal_zone0/temp"
_WARMING_C = 20.0
"""Of the chip above its surroundings, while the engine always works."""
_LAG_S = 8.0
_TICK_S = 0.5
_EVERY = 100
SLOW_MS = 1.0


class SlowEngine(FakeEngine):
    """Each inference takes `COST_S`."""

    def __init__(self) -> None:
        super().__init__(CANARY_ROWS, slots=1)
        self._one = threading.Lock()
        self.busy_s = 0.0

    def infer(self, tensor: Tensor, read: Callable[[Raw], T], *, all_cores: bool = False) -> T:
        with self._one:
            time.sleep(COST_S)
            self.busy_s += COST_S
            rows = self.rows.copy()
            rows[:, :4] *= tensor.shape[1] / 640  # at any throttle level the self-test finds its signs
            return read((rows,))


class Chip(threading.Thread):
    """Lets the board's chip warm up and cool down."""

    def __init__(self, folder: Path, engine: SlowEngine) -> None:
        super().__init__(daemon=True)
        self._folder, self._engine = folder, engine

    def run(self) -> None:
        ambient, shown = self._folder / "ambient", self._folder / "board" / TEMP
        temp_c, busy_s = float(ambient.read_text()), self._engine.busy_s
        while True:
            time.sleep(_TICK_S)
            load, busy_s = min(1.0, (self._engine.busy_s - busy_s) / _TICK_S), self._engine.busy_s
            temp_c += (float(ambient.read_text()) + _WARMING_C * load - temp_c) * _TICK_S / _LAG_S
            replace_text(shown, f"{temp_c * 1000:.0f}\n")


def replace_text(file: Path, text: str) -> None:
    """Write a file that somebody may be reading."""
    new = file.with_name(file.name + ".new")
    new.write_text(text)
    new.replace(file)


class TimedExchange(Exchange):
    """Writes down how long `publish` takes: how many calls work (`cpu_slow`) or last (`slow`) above `SLOW_MS`.

    The scheduler, the quota, other threads and interrupts take time from any call. So each is compared with about the
    same work without the bus (`control_…`). The garbage collector, which runs in any call, does not count as its work.
    """

    def __init__(self, record: Path, bus: Bus, **arguments: Any) -> None:
        super().__init__(bus, **arguments)
        self._record = record
        counts = ("calls", "slow", "control_slow", "cpu_slow", "control_cpu_slow")
        self._seen: dict[str, float] = dict.fromkeys(counts, 0) | {"cpu_ms": 0.0, "wall_ms": 0.0}
        self._collecting_s = self._collect_begun_s = 0.0
        """CPU time of the garbage collector in this thread."""
        thread = threading.get_ident()

        def collecting(phase: str, _: Mapping[str, int]) -> None:
            if threading.get_ident() != thread:
                return
            if phase == "start":
                self._collect_begun_s = time.thread_time()
            else:
                self._collecting_s += time.thread_time() - self._collect_begun_s

        gc.callbacks.append(collecting)

    def publish(self, camera: str, payload: Mapping[str, Any]) -> None:
        told = self._seen
        begun, begun_cpu, collecting = time.perf_counter(), time.thread_time(), self._collecting_s
        super().publish(camera, payload)
        collected_s = self._collecting_s - collecting
        cpu_ms = (time.thread_time() - begun_cpu - collected_s) * 1000
        wall_ms = (time.perf_counter() - begun - collected_s) * 1000
        begun, begun_cpu = time.perf_counter(), time.thread_time()
        while (control_cpu_ms := (time.thread_time() - begun_cpu) * 1000) < cpu_ms:
            msgspec.json.encode(payload)
        control_ms = (time.perf_counter() - begun) * 1000
        told["calls"] += 1
        told["slow"] += wall_ms > SLOW_MS
        told["control_slow"] += control_ms > SLOW_MS
        told["cpu_slow"] += cpu_ms > SLOW_MS
        told["control_cpu_slow"] += control_cpu_ms > SLOW_MS
        told["cpu_ms"] = max(told["cpu_ms"], cpu_ms)
        told["wall_ms"] = max(told["wall_ms"], wall_ms)
        if told["calls"] % _EVERY == 0:
            with self._record.open("a") as record:
                record.write(json.dumps(told) + "\n")


def main(name: str, folder: Path, arguments: list[str]) -> None:
    flags = dict(item.split("=", 1) for item in arguments)
    settings = loader.load(None, {}, {"profile": "realtime", "flow.decoder": "thread"} | flags)
    logs.set_up("info")
    engine = SlowEngine()
    Chip(folder, engine).start()
    setattr(self_knowledge, "MachineSensors", lambda **given: MachineSensors(**given | {"root": folder / "board"}))  # noqa: B010
    setattr(site, "Exchange", functools.partial(TimedExchange, folder / f"publish.{time.time_ns()}"))  # noqa: B010
    asyncio.run(
        supervise.serve(
            lambda: Chosen(settings),
            started=lambda *_: None,
            ready=lambda _: print("ready", flush=True),
            load=lambda _: fake_network(engine, name),
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
