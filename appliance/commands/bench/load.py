"""Full load for a network: threads that run one picture through it again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median

import psutil

from appliance.flow.inference import Inference
from appliance.values import Frame, Picture, ResultFilter

Tick = Callable[[float], None]
"""Takes the seconds since the previous tick."""

_TICK_S = 0.2


@dataclass(frozen=True, slots=True)
class Window:
    """A period under full load: median time per frame, in all and in the engine, and CPU time per frame."""

    frames: int
    seconds: float
    frame_ms: float
    infer_ms: float
    cpu_ms: float
    others_percent: float
    """CPU time of other processes, in percent of all CPUs."""

    @property
    def fps(self) -> float:
        return self.frames / self.seconds


class FullLoad:
    """`with FullLoad(...) as load:` run as many threads as the service, from the picture's bytes to its detections."""

    def __init__(self, inference: Inference, picture: Picture, side: int, result_filter: ResultFilter) -> None:
        self._inference, self._picture, self._side, self._filter = inference, picture, side, result_filter
        self._stopping = threading.Event()
        self._done: list[tuple[float, float]] = []
        self._workers: list[Future[None]] = []

    def __enter__(self) -> FullLoad:
        threads = self._inference.threads
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="bench")
        self._workers = [self._executor.submit(self._work) for _ in range(threads)]
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._executor.shutdown()

    def window(self, seconds: float, tick: Tick = lambda _: None) -> Window:
        """Measure for `seconds` and at least one frame. Raises what a frame has raised."""
        done: list[tuple[float, float]] = []
        self._done = done
        began_s, cpu_s, (busy_s, total_s) = time.monotonic(), time.process_time(), _machine_s()
        last_s = began_s
        while (left_s := began_s + seconds - time.monotonic()) > 0 or not done:
            time.sleep(max(0.001, min(_TICK_S, left_s)))
            for worker in self._workers:
                if worker.done():
                    worker.result()
            now_s = time.monotonic()
            tick(now_s - last_s)
            last_s = now_s
        frames, cpu_s, seconds = list(done), time.process_time() - cpu_s, time.monotonic() - began_s
        busy_s, total_s = (now - before for now, before in zip(_machine_s(), (busy_s, total_s), strict=True))
        return Window(
            frames=len(frames),
            seconds=seconds,
            frame_ms=median(frame_s for frame_s, _ in frames) * 1000,
            infer_ms=median(engine_s for _, engine_s in frames) * 1000,
            cpu_ms=cpu_s / len(frames) * 1000,
            others_percent=round(min(100.0, max(0.0, 100 * (busy_s - cpu_s) / total_s)), 1) if total_s > 0 else 0.0,
        )

    def _work(self) -> None:
        while not self._stopping.is_set():
            self._done.append(self._run_frame())

    def _run_frame(self) -> tuple[float, float]:
        """Process one frame; its total time and its time in the engine, s."""
        begun_s = time.monotonic()
        frame = Frame("bench", "bench", 0, self._picture, self._filter, begun_s)
        answer = self._inference.run(frame, self._side)
        return time.monotonic() - begun_s, answer.engine_s


def _machine_s() -> tuple[float, float]:
    """CPU time in use and in total since boot, s. Linux counts the time of guests as that of users, too."""
    times = psutil.cpu_times()
    fields = times._asdict()
    total_s = sum(fields.values()) - fields.get("guest", 0.0) - fields.get("guest_nice", 0.0)
    return total_s - times.idle - fields.get("iowait", 0.0), total_s
