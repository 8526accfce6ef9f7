"""Decoding in processes of its own (`flow.decoder = "process"`), compared with decoding on the service's threads.

The same four cameras push the same frames to both in turns; CPU time includes the decoding processes.
"""

from __future__ import annotations

import statistics
from pathlib import Path

from appliance.values import Size
from tests.benchmarks.report import Row
from tests.benchmarks.service import Load, draw_picture, measure, running

_TURNS = 3
_SIZES = (Size(1280, 720), Size(3840, 2160))


def run(folder: Path) -> list[Row]:
    rows = []
    for size in _SIZES:
        picture, name = draw_picture(folder, size), f"isolation, {size.width}x{size.height}"
        pairs = [(_measured("process", picture), _measured("thread", picture)) for _ in range(_TURNS)]
        detail = "; ".join(
            f"{process.cpu_ms:.1f}/{thread.cpu_ms:.1f} ms, {process.fps:.1f}/{thread.fps:.1f} fps, "
            f"p50 {process.latency_ms(50):.0f}/{thread.latency_ms(50):.0f} ms"
            for (process, _), (thread, _) in pairs
        )
        cpu = statistics.median(process.cpu_ms / thread.cpu_ms for (process, _), (thread, _) in pairs)
        fps = statistics.median(process.fps / thread.fps for (process, _), (thread, _) in pairs)
        more = statistics.median(process - thread for (_, process), (_, thread) in pairs)
        rows += [
            Row(f"{name}: CPU time per frame / thread", cpu, 1.1, True, detail),
            Row(f"{name}: throughput / thread", fps, 0.9, False, detail),
            Row(f"{name}: additional memory, MB", more / 1e6, 100, True, "proportional set size of all processes"),
        ]
    return rows


def _measured(decoder: str, picture: Path) -> tuple[Load, int]:
    """The load, and the memory at its end, bytes."""
    with running(f"flow.decoder={decoder}") as service:
        load = measure(service, picture, "--cameras", "4", "--in-flight", "1", "--seconds", "8")
        return load, service.own_bytes()
