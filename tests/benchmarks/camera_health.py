"""Camera health: staged faults found in time, false alarms during days and nights, and the CPU time of a look.

The scenes are drawn from seeds on which no limit was chosen.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from appliance.flow.picture_watch import PictureWatch
from tests.benchmarks.report import Row
from tests.picture_stages import FAULTS, Camera, day_and_night

SEEDS = range(2000, 2020)
DAYS, DAY_S = 2, 3600.0
"""A day of 24 hours passes in one: changes are faster than real ones."""


def run(_: Path) -> list[Row]:
    return [*staged(list(cameras())), false_alarms(), cost()]


def cameras() -> Iterator[Camera]:
    for seed in SEEDS:
        yield Camera(seed, noise=1 + 1.5 * (seed % 3))


def staged(stages: list[Camera]) -> Iterator[Row]:
    """One row for each fault: the part that is found in time."""
    found: dict[str, list[float | None]] = {name: [] for name in FAULTS}
    for camera in stages:
        watch, now_s = PictureWatch(), 0.0
        while now_s < 10:
            watch.look(camera.shot(now_s), now_s)
            now_s += 0.5
        for name in FAULTS:
            found[name].append(_after_s(camera, watch.copy(), now_s, name))
            camera.x = camera.y = 0.5
    for name, times in found.items():
        hits = [after_s for after_s in times if after_s is not None]
        detail = f"{len(hits)} of {len(times)} found, after {statistics.median(hits or [0]):.1f} s"
        yield Row(f"camera health: {name}", len(hits) / len(times), 0.95, False, detail)


def _after_s(camera: Camera, watch: PictureWatch, begun_s: float, name: str) -> float | None:
    codes, fault = FAULTS[name]
    random, passed_s, turned = np.random.default_rng(camera.seed), 0.0, "turned" in name
    while passed_s <= (30 if turned else 10):
        watch.look(fault(camera, passed_s, random), begun_s + passed_s)
        if {one.value for one in watch.faults} & codes:
            return passed_s
        passed_s += 1.0 if turned else 0.5
    return None


def false_alarms() -> Row:
    """Alarms in days and nights without any fault, each camera a day at a time."""
    alarms: list[str] = []
    days = 0
    for camera in list(cameras())[: 7 // DAYS + 1]:
        watch, random, begun_s = PictureWatch(), np.random.default_rng(camera.seed), 0.0
        for _ in range(DAYS):
            former: tuple[str, ...] = ()
            for now_s, pixels in day_and_night(camera, 1.0, DAY_S, random):
                watch.look(pixels, begun_s + now_s)
                faults = tuple(fault.value for fault in watch.faults)
                alarms += [f"{fault} at {now_s / DAY_S:.2f}" for fault in faults if fault not in former]
                former = faults
            begun_s += DAY_S
            days += 1
    detail = f"{len(alarms)} in {days} days of one camera: {', '.join(alarms[:6]) or 'none'}"
    return Row("camera health: false alarms a camera and week", len(alarms) * 7 / days, 1.0, True, detail)


def cost() -> Row:
    """CPU time of a look, against the decoding of the same picture for the network."""
    camera, watch = Camera(2000), PictureWatch()
    shots = [camera.shot(float(number)) for number in range(20)]
    spent_ms = []
    for number in range(300):
        begun_s = time.thread_time()
        watch.look(shots[number % 20], float(number))
        spent_ms.append((time.thread_time() - begun_s) * 1000)
    median_ms = statistics.median(spent_ms)
    detail = f"{median_ms:.2f} ms at 640x360, at most twice a second and camera"
    return Row("camera health: CPU time of a look / 0.3 ms", median_ms / 0.3, 1.0, True, detail)
