"""The real service on an emulated board with what goes wrong: bad samples, another program's burst, a fan that fails.

The work of the service heats the chip, a few times as fast as a real one, to keep the benchmark short. Work is CPU time
at the speed of the machine when it was measured: on a shared machine the same frames take up to half as much time again
a minute later, which heated the board by 8 °C more. The other program's heat is fixed, for the same reason. Needs root.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import time
import urllib.error
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from appliance.control.client import Control
from tests.benchmarks.governor.emulated import ThermalZone, cameras, may_mount, running, steady_fps, use_of
from tests.benchmarks.report import Row
from tests.benchmarks.service import Service, draw_picture, load, read_load

_THROTTLES_C, _TARGET_C = 80.0, 75.0
_AIR_C, _COOL_C = 25.0, 66.0
"""With its fan, the load of the cameras alone heats the board to this temperature."""
_DIE_PART, _DIE_S, _SINK_S = 0.3, 5.0, 60.0
_BURST_C = 27.0
"""The other program alone heats the board by this much, with its fan, however much of the machine it gets: 52 °C, which
leaves two thirds of the cameras' heat below the throttling temperature."""
_NO_FAN = 2.2
"""Factor of the heat sink's resistance without the fan."""
_SETTLE_S, _BAD_S, _BURST_S, _NO_FAN_S, _BACK_S = 120, 60, 100, 150, 130
_DATA, _REPEATS = bytes(1 << 20), 3
_LATEST = 12
"""Samples of the machine's speed whose median counts."""
_BURN = "while True: pass"


@dataclass
class Emulation:
    """The board: die and heat sink, and what goes wrong."""

    zone: ThermalZone
    c_per_use: float = 0.0
    usual_ms: float = 0.0
    """CPU time of a fixed piece of work when `c_per_use` was measured."""
    lately_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_LATEST))
    fan: bool = True
    bad: str | None = None
    """What the sensor reports in place of the next sample."""
    burst: bool = False
    """Whether another program runs."""
    die_c: float = 0.0
    sink_c: float = 0.0

    @property
    def chip_c(self) -> float:
        return _AIR_C + self.die_c + self.sink_c

    def calibrate(self, use: float) -> None:
        """This use heats the board to `_COOL_C`. Takes some seconds."""
        for _ in range(_LATEST):
            self.lately_ms.append(_work_ms())
            time.sleep(0.2)
        self.usual_ms, self.c_per_use = median(self.lately_ms), (_COOL_C - _AIR_C) / use

    def heat(self, use: float, seconds: float) -> None:
        self.lately_ms.append(_work_ms())
        use *= self.usual_ms / median(self.lately_ms)
        rise = use * self.c_per_use + (_BURST_C if self.burst else 0.0)
        self.die_c += (rise * _DIE_PART - self.die_c) * min(1.0, seconds / _DIE_S)
        sink = rise * (1 - _DIE_PART) * (1.0 if self.fan else _NO_FAN)
        self.sink_c += (sink - self.sink_c) * min(1.0, seconds / _SINK_S)
        self.zone.write(self.bad) if self.bad is not None else self.zone.show(self.chip_c)
        self.bad = None

    def follow(self, service: Service, over: threading.Event) -> None:
        """Heat the chip by the work of the service, every 0.9 s: a bad sample is read at most once."""
        cores = psutil.cpu_count() or 1
        before_s, at_s = service.cpu_s(), time.monotonic()
        while not over.wait(0.9):
            used_s, now_s = service.cpu_s(), time.monotonic()
            self.heat(max(0.0, used_s - before_s) / (now_s - at_s) / cores, now_s - at_s)
            before_s, at_s = used_s, now_s


def _work_ms() -> float:
    """CPU time of a fixed piece of work, ms: the shortest of some."""
    times_s = []
    for _ in range(_REPEATS):
        begun_s = time.thread_time()
        hashlib.sha256(_DATA).digest()
        times_s.append(time.thread_time() - begun_s)
    return 1000 * min(times_s)


@dataclass
class Course:
    """What one part of the run showed, once a second."""

    temps_c: list[float] = field(default_factory=list)
    levels: list[int] = field(default_factory=list)
    unavailable: int = 0
    """Seconds in which /health answered 503."""


def run(folder: Path) -> list[Row]:
    if not may_mount():
        print("governor_faults: skipped, needs root and mount namespaces")
        return []
    picture, zone, over = draw_picture(folder), ThermalZone(folder), threading.Event()
    zone.show(45.0)
    emulation = Emulation(zone)
    seconds = _SETTLE_S + _BAD_S + _BURST_S + _NO_FAN_S + 2 * _BACK_S + 30
    with running(folder, zone, f"governor.target_temp_c={_TARGET_C:g}") as service:
        control = Control([folder / "appliance/control.sock"])
        four = cameras(steady_fps(service, picture))
        with load(service.url, picture, *four, "--seconds", "60"):
            emulation.calibrate(use_of(service))
        heater = threading.Thread(target=emulation.follow, args=(service, over))
        heater.start()
        try:
            with load(service.url, picture, *four, "--warm-up", "0", "--seconds", str(seconds)) as pushing:
                assert pushing.stdout is not None
                pushing.stdout.readline()  # begun
                return _parts(service, control, emulation, pushing)
        finally:
            over.set()
            heater.join()


def _parts(service: Service, control: Control, emulation: Emulation, pushing: subprocess.Popen[str]) -> list[Row]:
    begun_s = time.monotonic()
    _watch(service, control, emulation, _SETTLE_S)
    bad_s = time.monotonic() - begun_s
    bad = _watch(service, control, emulation, _BAD_S, bad_every_s=6)
    with _burning(emulation):
        burst = _watch(service, control, emulation, _BURST_S)
    after_burst = _watch(service, control, emulation, _BACK_S)
    emulation.fan = False
    no_fan = _watch(service, control, emulation, _NO_FAN_S)
    emulation.fan = True
    fan_back = _watch(service, control, emulation, _BACK_S)
    assert pushing.stdout is not None
    pushing.stdout.readline()  # ended
    answered_s = sorted(at_s for camera in read_load(pushing).values() for at_s in camera["answered_at_s"])
    in_bad = [at_s for at_s in answered_s if bad_s <= at_s < bad_s + _BAD_S]
    before = [at_s for at_s in answered_s if bad_s - _SETTLE_S / 2 <= at_s < bad_s]
    gap_s = max(later - earlier for earlier, later in pairwise(in_bad))
    rate = (len(in_bad) / _BAD_S) / (len(before) / (_SETTLE_S / 2))
    return [
        Row("bad samples: longest time without an answer, s", gap_s, 2.0, True,
            f"{rate:.2f} of the frames before; levels {_levels(bad)}, {bad.unavailable} s of /health 503"),
        Row("burst of another program: °C reached / throttling", max(burst.temps_c) / _THROTTLES_C, 0.999, True,
            f"levels {_levels(burst)}"),
        Row("after the burst: seconds to the level before it", _back_s(after_burst, bad.levels[-1]), 120, True,
            f"levels {_levels(after_burst)}"),
        Row("fan fails: °C reached / throttling", max(no_fan.temps_c) / _THROTTLES_C, 0.999, True,
            f"levels {_levels(no_fan)}"),
        Row("fan is back: seconds to level 0", _back_s(fan_back, 0), 120, True, f"levels {_levels(fan_back)}"),
    ]  # fmt: skip


def _levels(course: Course) -> str:
    return " ".join(map(str, course.levels[::5]))


def _back_s(course: Course, level: int) -> float:
    return next((float(second) for second, now in enumerate(course.levels) if now <= level), 10.0 * _BACK_S)


@contextmanager
def _burning(emulation: Emulation) -> Iterator[None]:
    """Let another program use one core."""
    process: Any = subprocess.Popen([sys.executable, "-c", _BURN])
    emulation.burst = True
    try:
        yield
    finally:
        emulation.burst = False
        process.kill()
        process.wait()


def _watch(
    service: Service, control: Control, emulation: Emulation, seconds: int, *, bad_every_s: int | None = None
) -> Course:
    course = Course()
    for second in range(seconds):
        if bad_every_s is not None and second % bad_every_s == 0:
            emulation.bad = ("85000\n", "0\n", "nonsense\n", "127000\n")[second // bad_every_s % 4]
        time.sleep(1)
        course.temps_c.append(emulation.chip_c)
        status = control.governor()
        assert status is not None
        course.levels.append(status.cur_state)
        try:
            service.health()
        except urllib.error.HTTPError:
            course.unavailable += 1
    return course
