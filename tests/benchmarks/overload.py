"""Overload: sixteen cameras offer ten times the peak load; goodput, age of the answers, and skipped cameras.

Goodput counts results as they arrive, of whatever frame. The cameras run on the same cores as the service. So its peak
is also measured while the cameras push the same flood to a server that discards it; the rest of the difference is the
cost of the flood to the service. Results per CPU second of the service do not depend on what the cameras and other
programs leave it: they fall only because refused frames cost it time.
"""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.report import Row
from tests.benchmarks.service import Load, draw_picture, measure, running
from tests.benchmarks.sink import discarded

_MAX_AGE_S = 2.0


def run(folder: Path) -> list[Row]:
    picture = draw_picture(folder)
    with running("flow.max_side=320", f"flow.max_age_s={_MAX_AGE_S}") as service:
        peak = measure(service, picture, "--cameras", "4", "--in-flight", "1", "--seconds", "8")
        rate = 10 * peak.fps / 16
        flood = measure(
            service, picture, "--cameras", "16", "--mode", "rate", "--rate", f"{rate:.1f}", "--seconds", "8"
        )
        with discarded(picture, cameras=16, rate=rate):
            next_to_flood = measure(service, picture, "--cameras", "4", "--in-flight", "1", "--seconds", "8")
        again = measure(service, picture, "--cameras", "4", "--in-flight", "1", "--seconds", "8")
        obeying = measure(
            service, picture, "--cameras", "16", "--mode", "obey", "--rate", "1000", "--seconds", "8", "--warm-up", "2"
        )
    best, best_ms = (peak.fps + again.fps) / 2, (peak.cpu_ms + again.cpu_ms) / 2
    refused = max(1, flood.total("sent") - flood.total("arrived"))
    refused_ms = (flood.cpu_s * 1000 - flood.total("arrived") * best_ms) / refused
    oldest_s = max(camera["oldest_s"] for camera in flood.cameras.values())
    offered = flood.total("sent") / flood.seconds
    return [
        Row("overload: goodput at 10x / peak next to the same flood",flood.fps / next_to_flood.fps, 0.95, False,
            f"{flood.fps:.0f} of {next_to_flood.fps:.0f} fps, offered {offered:.0f}; the cameras got their answers "
            f"{flood.latency_ms(50):.0f} ms after sending, 99 %: {flood.latency_ms(99):.0f} ms"),
        Row("overload: goodput at 10x / peak", flood.fps / best, 0.95, False, f"{flood.fps:.0f} of {best:.0f} fps"),
        Row("overload: results per CPU second at 10x / peak", best_ms / flood.cpu_ms, 0.95, False,
            f"{best_ms:.1f}/{flood.cpu_ms:.1f} ms a result, {refused_ms:.2f} ms a refused frame; cores used by the "
            f"service and the cameras at 10x: {_cores(flood)}, at the peak: {_cores(peak)}"),
        Row("overload: oldest answer / max_age_s", oldest_s / _MAX_AGE_S, 1.0, True, f"{oldest_s * 1000:.0f} ms"),
        Row("obeying: frames skipped after 2 s", obeying.skipped(), 0, True,
            f"{obeying.answered} answered, {obeying.fps:.0f} fps {obeying.reasons() or ''}"),
    ]  # fmt: skip


def _cores(load: Load) -> str:
    return f"{load.cpu_s / load.seconds:.2f} and {load.generator_cpu_s / load.seconds:.2f}"
