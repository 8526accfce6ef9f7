"""Input sizes: memory per size, the cost of a size change, the time of a start, and the bare engine.

The service runs in a child process, which reads limits from its standard input and applies them, as the governor would.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil

from appliance.engines import registry
from appliance.service import run as service
from appliance.settings import loader
from appliance.values import Size
from tests.benchmarks.goodput import benchmark_app
from tests.benchmarks.report import Row
from tests.benchmarks.service import ROOT, Service, draw_picture, load, measure, read_load

_SIDES = (640, 512, 416, 320)
_STARTS = 5
_CLOSED = ("--cameras", "4", "--in-flight", "1")


def run(folder: Path) -> list[Row]:
    picture = draw_picture(folder)
    return [*_memory(picture), *_switch(picture), *_start(), _bare_engine()]


def _memory(picture: Path) -> list[Row]:
    resident = []
    with _steered() as (device, steer):
        for side, lower in zip(_SIDES, (*_SIDES[1:], 0), strict=True):
            steer(side, 0)
            measure(device, picture, *_CLOSED, "--seconds", "3")
            resident.append(device.resident_bytes() / 1e6)
            steer(side, lower)
    detail = ", ".join(f"{side} px: {megabytes:.0f} MB" for side, megabytes in zip(_SIDES, resident, strict=True))
    return [
        Row("ladder: resident with one size, MB", resident[0], 200, True, detail),
        Row("ladder: resident with four sizes, MB", resident[3], 300, True, ""),
    ]


def _switch(picture: Path) -> list[Row]:
    """Step down a size and up again under load; compare the answers within a second of a switch with the median."""
    with _steered() as (device, steer):
        steer(640, 512)
        measure(device, picture, *_CLOSED, "--seconds", "2")  # meanwhile 512 is compiled
        with load(device.url, picture, *_CLOSED, "--seconds", "12", "--warm-up", "1") as process:
            assert process.stdout is not None
            process.stdout.readline()
            for side, seconds in ((512, 4.0), (640, 4.0)):
                time.sleep(seconds)
                steer(side, 512)
            process.stdout.readline()
            cameras = read_load(process)
    latencies = [value for camera in cameras.values() for value in camera["latencies_ms"]]
    near = [
        value
        for camera in cameras.values()
        for value, at_s in zip(camera["latencies_ms"], camera["answered_at_s"], strict=True)
        if 4 <= at_s <= 5 or 8 <= at_s <= 9
    ]
    lost = sum(camera["sent"] - camera["answered"] - sum(camera["skipped"].values()) for camera in cameras.values())
    median = statistics.median(latencies)
    return [
        Row(
            "ladder: slowest answer at a switch / median",
            max(near) / median,
            2.0,
            True,
            f"{max(near):.0f}/{median:.0f} ms",
        ),
        Row(
            "ladder: frames lost over the switches",
            max(0, lost - len(cameras)),
            0,
            True,
            "one frame of each camera is in flight",
        ),
    ]


def _start() -> list[Row]:
    """Time from `appliance serve` to ready, without and with cached compiled networks."""
    first, later = [], []
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder, "models")
        shutil.copytree(ROOT / "models/yolo11n", models / "yolo11n")
        for _ in range(_STARTS):
            shutil.rmtree(models / ".compiled", ignore_errors=True)
            first.append(_steps_to_ready(models))
            later.append(_steps_to_ready(models))
    return [
        Row("start: seconds to ready, first", _median_total(first), 4.0, True, _median_steps(first)),
        Row("start: seconds to ready, later", _median_total(later), 1.5, True, _median_steps(later)),
    ]


def _steps_to_ready(models: Path) -> dict[str, float]:
    """The time of each step of a start, s, as the service reports it; `python`: the rest of the whole time."""
    command = [sys.executable, "-m", "appliance", "serve", "--host", "127.0.0.1", "--port", "0", "--config", os.devnull]
    started_s = time.monotonic()
    process = subprocess.Popen([*command, "--set", f"model.dir={models}"], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    try:
        while "ready after" not in process.stdout.readline():
            assert process.poll() is None, "the service did not start"
        whole_s = time.monotonic() - started_s
        _, _, text = process.stdout.readline().partition("startup: ")
        steps = {name: float(seconds) for name, seconds in re.findall(r"(\D+) ([\d.]+) s(?:, |$)", text.strip())}
        return {"python": whole_s - sum(steps.values())} | steps
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def _median_total(starts: list[dict[str, float]]) -> float:
    return statistics.median(sum(steps.values()) for steps in starts)


def _median_steps(starts: list[dict[str, float]]) -> str:
    return ", ".join(f"{name} {statistics.median(steps[name] for steps in starts):.2f}" for name in starts[0])


def _bare_engine() -> Row:
    """Inferences per second of our engine, called by one thread for each slot, compared with benchmark_app in turns."""
    engine = registry.create("openvino", ROOT / "models/yolo11n/model.xml")
    engine.prepare(Size(640, 384))
    ratios, details = [], []
    for _ in range(3):
        _, reference = benchmark_app(640, 500)
        ours = _inferences_per_second(
            lambda: engine.infer(np.zeros((384, 640, 3), np.uint8), lambda raw: None), engine.slots
        )
        ratios.append(ours / reference)
        details.append(f"{ours:.0f}/{reference:.0f}")
    engine.close()
    return Row(
        "engine: inferences per second / benchmark_app", statistics.median(ratios), 0.98, False, "; ".join(details)
    )


def _inferences_per_second(infer: Callable[[], None], threads: int, count: int = 250) -> float:
    def work() -> None:
        for _ in range(count):
            infer()

    infer()
    workers = [threading.Thread(target=work) for _ in range(threads)]
    started_s = time.monotonic()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return count * threads / (time.monotonic() - started_s)


@contextmanager
def _steered() -> Iterator[tuple[Service, Callable[[int, int], None]]]:
    """A service, and a function that changes its longest side and the next one."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.ladder"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdin is not None
    commands = process.stdin

    def steer(side: int, next_side: int) -> None:
        commands.write(f"{side} {next_side}\n")
        commands.flush()

    try:
        yield Service(process.stdout.readline().strip(), psutil.Process(process.pid)), steer
    finally:
        commands.close()  # the child stops
        process.wait(30)
        process.stdout.close()


async def _serve_steered() -> None:
    settings = loader.load(
        None, {}, {"profile": "realtime", "server.host": "127.0.0.1", "server.port": "0", "log.level": "error",
                   "governor.enabled": "false"},
    )  # fmt: skip
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def obey(running: service.Started) -> None:
        detector = running.parts.path.detector
        for line in sys.stdin:
            side, next_side = map(int, line.split())
            limits = replace(running.parts.governor.limits, max_side=side, next_side=next_side)
            loop.call_soon_threadsafe(detector.apply, limits)
        loop.call_soon_threadsafe(stop.set)

    def ready(running: service.Started) -> None:
        print(f"http://127.0.0.1:{running.port}", flush=True)
        threading.Thread(target=obey, args=(running,), daemon=True).start()

    await service.serve(settings, service.Hooks(lambda _: None, ready, lambda _: stop.wait()))


if __name__ == "__main__":
    asyncio.run(_serve_steered())
