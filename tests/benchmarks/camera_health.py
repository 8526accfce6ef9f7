"""Camera health: staged faults found in time, false alarms during days and nights, and the CPU time of a frame.

The cameras are those of `tests/picture_views.py`, on which no limit was chosen. `WEEKS=4`: camera-weeks of days and
nights; one by default. It runs on all cores, about six minutes on two.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from appliance.flow.picture_watch import PictureWatch
from tests import picture_views
from tests.benchmarks.report import Row
from tests.evaluation.coco import DATA
from tests.picture_stages import FAULTS, Camera, day_and_night

WEEKS = float(os.environ.get("WEEKS", "1"))
DAY_S, STEP_S = 1200.0, 1.5
"""A day of 24 hours passes in twenty minutes, 800 looks: light changes 72 times faster than outside."""
_IN_TURN, _TURNS, _WARM_TURNS = 20, 52, 2


def run(_: Path) -> list[Row]:
    names = picture_views.names(DATA)
    if len(names) == len(picture_views.DRAWN_SEEDS):
        print(f"camera_health: drawn scenes only; {DATA} has no photographs")
    with ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=partial(cv2.setNumThreads, 1)) as pool:
        return [*costs(), *staged(names, pool), false_alarms(names, pool)]


def staged(names: list[str], pool: Executor) -> Iterator[Row]:
    """One row for each fault: the part that is found in time."""
    found = dict(zip(names, pool.map(_found_after_s, names), strict=True))
    for fault in FAULTS:
        times = {name: after[fault] for name, after in found.items()}
        hits = [after_s for after_s in times.values() if after_s is not None]
        missed = [name for name, after_s in times.items() if after_s is None]
        after = f"after {statistics.median(hits):.1f} s, at most {max(hits):.1f} s" if hits else "never"
        detail = f"{len(hits)} of {len(times)} found, {after}" + (f"; not: {', '.join(missed)}" if missed else "")
        yield Row(f"camera health: {fault}", len(hits) / len(times), 0.95, False, detail)


def _found_after_s(name: str) -> dict[str, float | None]:
    """How long it takes until each fault of a camera is reported; None: too long."""
    camera, watch, now_s = picture_views.camera(name, DATA), PictureWatch(), 0.0
    while now_s < 10:
        watch.look(camera.shot(now_s), now_s)
        now_s += 0.5
    found = {}
    for fault in FAULTS:
        found[fault] = _after_s(camera, watch.copy(), now_s, fault)
        camera.x = camera.y = 0.5
    return found


def _after_s(camera: Camera, watch: PictureWatch, begun_s: float, name: str) -> float | None:
    codes, fault = FAULTS[name]
    random, passed_s, turned = np.random.default_rng(camera.seed), 0.0, "turned" in name
    while passed_s <= (30 if turned else 10):
        watch.look(fault(camera, passed_s, random), begun_s + passed_s)
        if {one.value for one in watch.faults} & codes:
            return passed_s
        passed_s += 1.0 if turned else 0.5
    return None


def false_alarms(names: list[str], pool: Executor) -> Row:
    """Alarms in days and nights without any fault, a day of each camera in turn."""
    days = round(7 * WEEKS)
    order = np.random.default_rng(7).permutation(names)
    turns = [(str(order[number % len(order)]), number // len(order)) for number in range(days)]
    alarms = [alarm for found in pool.map(_alarms, turns) for alarm in found]
    detail = f"{len(alarms)} in {days} days of {min(days, len(order))} cameras: {', '.join(alarms[:6]) or 'none'}"
    return Row("camera health: false alarms a camera and week", len(alarms) * 7 / days, 1.0, True, detail)


def _alarms(turn: tuple[str, int]) -> list[str]:
    """What is reported in one day."""
    name, number = turn
    camera, watch, former = picture_views.camera(name, DATA), PictureWatch(), frozenset[str]()
    random, alarms = np.random.default_rng((camera.seed, number)), []
    for now_s, pixels in day_and_night(camera, STEP_S, DAY_S, random):
        watch.look(pixels, now_s)
        faults = frozenset(fault.value for fault in watch.faults)
        alarms += [f"{name}: {fault} at {24 * now_s / DAY_S:.1f} h" for fault in sorted(faults - former)]
        former = faults
    return alarms


def costs() -> Iterator[Row]:
    """CPU time of a frame, of all threads, at the rates of a busy and of a slow camera, next to decoding its JPEG.

    Both in turns, so that they meet the same load of the machine.
    """
    camera = Camera(4000)
    shots = [camera.shot(float(number)) for number in range(_IN_TURN)]
    jpegs = [cv2.imencode(".jpg", shot, (cv2.IMWRITE_JPEG_QUALITY, camera.quality))[1] for shot in shots]
    for fps in (5, 1):
        watch = PictureWatch()
        spent_s = decoding_s = 0.0
        for turn in range(_TURNS):
            begun_s = time.process_time()
            for number, shot in enumerate(shots):
                watch.look(shot, (turn * _IN_TURN + number) / fps)
            half_s = time.process_time()
            for jpeg in jpegs:
                cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
            if turn >= _WARM_TURNS:
                spent_s, decoding_s = spent_s + half_s - begun_s, decoding_s + time.process_time() - half_s
        each_ms = 1000 * spent_s / ((_TURNS - _WARM_TURNS) * _IN_TURN)
        detail = f"{each_ms:.3f} ms at 640x360 and {fps} fps, {spent_s / decoding_s:.2f} of decoding its JPEG"
        yield Row(f"camera health: CPU time of a frame / 0.3 ms, {fps} fps", each_ms / 0.3, 1.0, True, detail)
