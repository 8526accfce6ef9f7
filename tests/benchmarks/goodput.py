"""Goodput over Socket.IO, compared with OpenVINO's benchmark_app: same model, shape, precision and threads.

benchmark_app's CPU time is the difference of two runs of different length, so that loading and compiling cancel out.
Its throughput is measured while the same cameras push the same frames to a server that discards them, because the
cameras run on the same cores. Both are measured in turns, and the result is the median of the ratios, because the speed
of a shared machine drifts.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.report import Row
from tests.benchmarks.service import ROOT, draw_picture, measure, running
from tests.benchmarks.sink import discarded

GOALS = {640: (1.15, 0.9), 320: (1.35, 0.8)}
_SHAPES = {640: (384, 640, 500), 320: (192, 320, 1600)}
"""Input height and width for a 16:9 camera, and inferences in the longer run."""
_TURNS = 3


def run(folder: Path) -> list[Row]:
    picture = draw_picture(folder)
    rows = []
    for side, (most_cpu, least_fps) in GOALS.items():
        cpu_ratios, fps_ratios, details = [], [], []
        for _ in range(_TURNS):
            with running(f"flow.max_side={side}") as service:
                load = measure(service, picture, "--cameras", "4", "--in-flight", "1", "--seconds", "8")
            reference_ms = _cpu_ms(side)
            with discarded(picture, cameras=4, rate=load.fps / 4):
                _, reference_fps = benchmark_app(side, _SHAPES[side][2])
            cpu_ratios.append(load.cpu_ms / reference_ms)
            fps_ratios.append(load.fps / reference_fps)
            details.append(f"{load.cpu_ms:.1f}/{reference_ms:.1f} ms, {load.fps:.0f}/{reference_fps:.0f} fps")
        detail = "; ".join(details)
        rows += [
            Row(
                f"goodput {side}: CPU time per frame / benchmark_app",
                statistics.median(cpu_ratios),
                most_cpu,
                True,
                detail,
            ),
            Row(f"goodput {side}: throughput / benchmark_app", statistics.median(fps_ratios), least_fps, False, detail),
        ]
    return rows


def _cpu_ms(side: int) -> float:
    """CPU ms of one inference of the bare engine."""
    _, _, count = _SHAPES[side]
    short_s, _ = benchmark_app(side, count // 4)
    long_s, _ = benchmark_app(side, count)
    return (long_s - short_s) / (count - count // 4) * 1000


def benchmark_app(side: int, count: int) -> tuple[float, float]:
    """CPU seconds and inferences a second of benchmark_app."""
    height, width, _ = _SHAPES[side]
    command = [str(Path(sys.executable).parent / "benchmark_app"), "-m", str(ROOT / "models/yolo11n/model.xml"),
               "-shape", f"[1,3,{height},{width}]", "-hint", "throughput", "-niter", str(count)]  # fmt: skip
    before = os.times()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    after = os.times()
    match = re.search(r"Throughput:\s+([\d.]+)", done.stdout)
    assert match is not None, done.stdout
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return cpu_s, float(match.group(1))
