"""`/metrics` for Prometheus: the figures of `/health`, in base units and with the names its users expect.

Rules of this file:
- What is unknown is left out: a number would be a lie.
- What has a fixed set of values (status, findings) is told in full, 1 for what holds: an alert needs no `absent()`.
- Cameras come and go with their series; `appliance_frames_total` counts what all of them sent since the start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import cast

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from appliance import __version__
from appliance.flow.tally import LATENCY_BOUNDS_S, Tally
from appliance.health.catalogue import CATALOGUE
from appliance.health.recorder import STATUSES
from appliance.values import CameraStats
from appliance.vitals import Snapshot, Vitals


def routes(vitals: Vitals) -> list[web.RouteDef]:
    async def metrics(request: web.Request) -> web.Response:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collected(list(collect(vitals.snapshot()))))
        # Text of a few hundred series is too slow for the event loop of a small board.
        body = await asyncio.get_running_loop().run_in_executor(None, generate_latest, registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [web.get("/metrics", metrics)]


def collect(snapshot: Snapshot) -> Iterator[Metric]:
    """All families, as they are now."""
    yield InfoMetricFamily("appliance_build", "The service", {"version": __version__})
    yield from _findings(snapshot)
    yield from _gauges(snapshot)
    yield from _counters(snapshot)
    yield _latency(snapshot.tally)
    yield from _cameras(snapshot.cameras)


def _findings(snapshot: Snapshot) -> Iterator[Metric]:
    status = GaugeMetricFamily("appliance_status", "1 for the status of the box", labels=["status"])
    for name in STATUSES:
        status.add_metric([name], name == snapshot.status)
    yield status
    finding = GaugeMetricFamily("appliance_finding", "1 for what is wrong; see docs/health.md", labels=["code"])
    standing = {found.code for found in snapshot.findings}
    for check in CATALOGUE:
        finding.add_metric([check.code], check.code in standing)
    yield finding


def _gauges(snapshot: Snapshot) -> Iterator[Metric]:
    engine, governor, reading = snapshot.engine, snapshot.governor, snapshot.reading
    if engine.model is not None:
        labels = {"model": engine.model.name, "engine": engine.model.engine, "device": engine.model.device}
        yield InfoMetricFamily("appliance_model", "The loaded model and what runs it", labels)
    percent, infer_ms = reading.cpu.percent, engine.infer_ms
    values = (
        ("model_loaded", "Whether a model is loaded", engine.model is not None),
        ("ready", "Whether the known picture came back right", snapshot.ready),
        ("connections", "Socket.IO connections", snapshot.delivery.connections),
        ("cache_entries", "Answers in the exact cache", snapshot.cached_answers),
        ("soc_temperature_celsius", "Temperature of the chip", reading.thermal.soc_temp_c),
        ("cpu_usage_ratio", "CPU use of the whole machine", None if percent is None else percent / 100),
        ("memory_available_bytes", "Memory that programs can still get", reading.memory.available_bytes),
        ("memory_total_bytes", "Memory of the machine", reading.memory.total_bytes),
        ("resident_memory_bytes", "Memory that this service holds", reading.memory.resident_bytes),
        ("disk_free_bytes", "Free space of the disk", reading.storage.free_bytes),
        ("uptime_seconds", "Since the machine started", reading.system.uptime_s),
        ("under_voltage", "Whether the supply does not keep up now", reading.power.under_voltage),
        ("throttled", "Whether the board slows its chip down now", reading.power.throttled),
        ("cooling_state", "0 is full work", governor.cooling),
        ("cooling_state_max", "The last cooling state, where nothing is inferred", governor.max_cooling),
        ("input_side_pixels", "Longest side of the network's input", governor.limits.max_side),
        ("inference_seconds", "Of one frame, moving average", None if infer_ms is None else infer_ms / 1000),
        ("capacity_frames_per_second", "What the engine can do now", engine.capacity_fps),
        ("frames_in_flight", "Frames being decoded or inferred", engine.in_flight),
        ("frames_waiting", "Frames waiting for their turn", engine.waiting),
    )
    for name, doc, value in values:
        if value is not None:
            yield GaugeMetricFamily(f"appliance_{name}", doc, value=float(value))


def _counters(snapshot: Snapshot) -> Iterator[Metric]:
    tally = snapshot.tally
    outcomes = {"inferred": tally.answered - tally.cached, "cached": tally.cached, "failed": tally.failed}
    frames = CounterMetricFamily("appliance_frames", "Frames of all cameras, by how they ended", labels=["outcome"])
    for outcome, count in (outcomes | tally.skipped).items():
        frames.add_metric([outcome], count)
    yield frames
    yield CounterMetricFamily(
        "appliance_results_dropped", "Events that clients did not read in time", value=snapshot.delivery.dropped
    )
    yield CounterMetricFamily(
        "appliance_cooling_transitions", "Changes of the cooling state", value=snapshot.governor.transitions
    )


def _latency(tally: Tally) -> Metric:
    names = [*(str(bound_s) for bound_s in LATENCY_BOUNDS_S), "+Inf"]
    buckets = list(zip(names, accumulate(tally.latency_counts), strict=True))
    return HistogramMetricFamily(
        "appliance_latency_seconds", "Arrival of a frame to its answer",
        buckets=cast(list[tuple[str, float]], buckets), sum_value=tally.latency_sum_s,
    )  # fmt: skip


def _cameras(cameras: Mapping[str, CameraStats]) -> Iterator[Metric]:
    received = CounterMetricFamily("appliance_frames_received", "Frames that came in", labels=["camera"])
    answered = CounterMetricFamily("appliance_frames_answered", "Frames answered with results", labels=["camera"])
    cached = CounterMetricFamily("appliance_frames_cached", "Of those, answered without inference", labels=["camera"])
    failed = CounterMetricFamily("appliance_frames_failed", "Frames answered with an error", labels=["camera"])
    skipped = CounterMetricFamily("appliance_frames_skipped", "Frames dropped on purpose", labels=["camera", "reason"])
    latency = GaugeMetricFamily(
        "appliance_camera_latency_seconds", "Arrival to answer, moving average", labels=["camera"]
    )
    for name, camera in cameras.items():
        received.add_metric([name], camera.received)
        answered.add_metric([name], camera.answered)
        cached.add_metric([name], camera.cached)
        failed.add_metric([name], camera.failed)
        for reason, count in camera.skipped.items():
            skipped.add_metric([name, reason], count)
        if camera.latency_ms is not None:
            latency.add_metric([name], camera.latency_ms / 1000)
    yield from (received, answered, cached, failed, skipped, latency)


class _Collected(Collector):
    """What was collected on the event loop, for the thread that makes text of it."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families
