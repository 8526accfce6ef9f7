"""The most that a network can be given: threads that put one picture through it again and again."""

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
"""Takes the seconds that have passed since the last one."""

_TICK_S = 0.2


@dataclass(frozen=True, slots=True)
class Window:
    """What was done in a time under full load: medians of a frame's way and of the engine's part, CPU time a frame."""

    frames: int
    seconds: float
    frame_ms: float
    infer_ms: float
    cpu_ms: float
    others_percent: float
    """Part of the machine's CPU time that other processes took."""

    @property
    def fps(self) -> float:
        return self.frames / self.seconds


class FullLoad:
    """`with FullLoad(...) as load:` as many threads as the service has, from a picture's bytes to its boxes."""

    def __init__(self, inference: Inference, picture: Picture, side: int, wanted: ResultFilter) -> None:
        self._inference, self._picture, self._side, self._wanted = inference, picture, side, wanted
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
        """Let it run this long, and until a frame is done, and say what was done. Raises what a frame raised."""
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
            self._done.append(self._look())

    def _look(self) -> tuple[float, float]:
        """Seconds from bytes to boxes, and those of the engine."""
        begun_s = time.monotonic()
        frame = Frame("bench", "bench", 0, self._picture, self._wanted, begun_s)
        answer = self._inference.run(frame, self._side)
        return time.monotonic() - begun_s, answer.engine_s


def _machine_s() -> tuple[float, float]:
    """CPU time of all processes since the machine started, and all that there was, s; guests are counted as users."""
    times = psutil.cpu_times()
    known = times._asdict()
    total_s = sum(known.values()) - known.get("guest", 0.0) - known.get("guest_nice", 0.0)
    return total_s - times.idle - known.get("iowait", 0.0), total_s
