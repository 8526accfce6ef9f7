"""`/metrics` for Prometheus: the figures of `/health` in base units, named by Prometheus' conventions.

Rules of this file:
- An unknown value has no sample.
- Metrics with a fixed set of values (status, findings) export all of them, 1 for the active one, so that alerts do not
  need `absent()`.
- Series with the label `camera` exist while the camera is connected, or while it is known (`appliance_camera_silent`,
  `appliance_camera_last_frame_timestamp_seconds`); `appliance_frames_total` counts the frames of all cameras since the
  start.
- At most MOST_CAMERAS cameras have series, those of the settings and those known longest: names that a client makes up
  displace none, and do not fill the memory of Prometheus.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from heapq import nsmallest
from itertools import accumulate
from math import inf
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
from appliance.health.roster import KnownCamera
from appliance.values import CameraStats, GateStats, PictureFault
from appliance.vitals.collect import Vitals
from appliance.vitals.snapshot import Snapshot

MOST_CAMERAS = 256


def routes(vitals: Vitals) -> list[web.RouteDef]:
    async def metrics(request: web.Request) -> web.Response:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collected(list(collect(vitals.snapshot()))))
        # Formatting a few hundred series blocks the event loop of a small board for too long.
        body = await asyncio.get_running_loop().run_in_executor(None, generate_latest, registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [web.get("/metrics", metrics)]


def collect(snapshot: Snapshot) -> Iterator[Metric]:
    """All metric families with their current values."""
    yield InfoMetricFamily("appliance_build", "Version of the service", {"version": __version__})
    yield from _findings(snapshot)
    yield from _gauges(snapshot)
    yield from _counters(snapshot)
    yield _latency(snapshot.tally)
    listed = listed_cameras(snapshot)
    yield from _cameras({name: stats for name, stats in snapshot.cameras.items() if name in listed})
    yield from _known_cameras({name: known for name, known in snapshot.known_cameras.items() if name in listed})
    unlisted = len(snapshot.cameras.keys() | snapshot.known_cameras.keys()) - len(listed)
    yield GaugeMetricFamily(
        "appliance_cameras_unlisted", f"Cameras without series, beyond the first {MOST_CAMERAS}", value=unlisted
    )


def listed_cameras(snapshot: Snapshot) -> set[str]:
    """The cameras that have series."""
    names = snapshot.cameras.keys() | snapshot.known_cameras.keys()
    if len(names) <= MOST_CAMERAS:
        return names

    def rank(name: str) -> tuple[bool, float, str]:
        known = snapshot.known_cameras.get(name)
        since_s = known.first_at_s if known is not None else None
        return not (known is not None and known.configured), inf if since_s is None else since_s, name

    return set(nsmallest(MOST_CAMERAS, names, key=rank))


def _findings(snapshot: Snapshot) -> Iterator[Metric]:
    status = GaugeMetricFamily("appliance_status", "Overall status: 1 for the current one", labels=["status"])
    for name in STATUSES:
        status.add_metric([name], name == snapshot.status)
    yield status
    family = GaugeMetricFamily(
        "appliance_finding", "1 while a finding is active; see docs/health.md", labels=["code", "severity"]
    )
    active = {(finding.code, finding.severity) for finding in snapshot.findings}
    for check in CATALOGUE:
        for severity in check.severities:
            family.add_metric([check.code, severity.value], (check.code, severity) in active)
    yield family


def _gauges(snapshot: Snapshot) -> Iterator[Metric]:
    engine, governor, reading = snapshot.engine, snapshot.governor, snapshot.reading
    if engine.model is not None:
        labels = {"model": engine.model.name, "engine": engine.model.engine, "device": engine.model.device}
        yield InfoMetricFamily("appliance_model", "The loaded model and its engine", labels)
    percent, infer_ms = reading.cpu.percent, engine.infer_ms
    values = (
        ("model_loaded", "Whether a model is loaded", engine.model is not None),
        ("ready", "Whether the self-test has passed", snapshot.ready),
        ("connections", "Open Socket.IO connections", snapshot.delivery.connections),
        ("cache_entries", "Entries of the exact result cache", snapshot.cached_answers),
        ("soc_temperature_celsius", "Temperature of the SoC", reading.thermal.soc_temp_c),
        ("cpu_usage_ratio", "CPU usage of the whole machine", None if percent is None else percent / 100),
        ("memory_available_bytes", "Memory available to programs", reading.memory.available_bytes),
        ("memory_total_bytes", "Memory of the machine", reading.memory.total_bytes),
        ("resident_memory_bytes", "Resident memory of this service", reading.memory.resident_bytes),
        ("disk_free_bytes", "Free disk space", reading.storage.free_bytes),
        ("restarts", "Restarts of the service since the machine was switched on", snapshot.service.restarts),
        ("uptime_seconds", "Time since the machine was started", reading.system.uptime_s),
        ("under_voltage", "Whether the power supply reports under-voltage now", reading.power.under_voltage),
        ("throttled", "Whether the board throttles its CPU now", reading.power.throttled),
        ("cooling_state", "Throttle level; 0 is full performance", governor.cooling),
        ("cooling_state_max", "Highest throttle level, at which detection is paused", governor.max_cooling),
        ("input_side_pixels", "Longest side of the network's input", governor.limits.max_side),
        (
            "inference_seconds",
            "Inference time of a frame, moving average",
            None if infer_ms is None else infer_ms / 1000,
        ),
        ("capacity_frames_per_second", "Current capacity of the engine", engine.capacity_fps),
        ("frames_in_flight", "Frames being decoded or inferred", engine.in_flight),
        ("frames_waiting", "Frames waiting for inference", engine.waiting),
    )
    started_at_s = snapshot.wall_s - snapshot.service.uptime_s
    yield GaugeMetricFamily("process_start_time_seconds", "Start of this process, seconds since 1970", started_at_s)
    for name, doc, value in values:
        if value is not None:
            yield GaugeMetricFamily(f"appliance_{name}", doc, value=float(value))


def _counters(snapshot: Snapshot) -> Iterator[Metric]:
    tally = snapshot.tally
    outcomes = {"inferred": tally.answered - tally.cached, "cached": tally.cached, "failed": tally.failed}
    frames = CounterMetricFamily("appliance_frames", "Frames of all cameras by outcome", labels=["outcome"])
    for outcome, count in (outcomes | tally.skipped).items():
        frames.add_metric([outcome], count)
    yield frames
    yield CounterMetricFamily(
        "appliance_results_dropped", "Events dropped because a client read too slowly", value=snapshot.delivery.dropped
    )
    yield CounterMetricFamily(
        "appliance_cooling_transitions", "Changes of the throttle level", value=snapshot.governor.transitions
    )


def _latency(tally: Tally) -> Metric:
    names = [*(str(bound_s) for bound_s in LATENCY_BOUNDS_S), "+Inf"]
    buckets = list(zip(names, accumulate(tally.latency_counts), strict=True))
    return HistogramMetricFamily(
        "appliance_latency_seconds", "Time from the arrival of a frame to its results",
        buckets=cast(list[tuple[str, float]], buckets), sum_value=tally.latency_sum_s,
    )  # fmt: skip


def _cameras(cameras: Mapping[str, CameraStats]) -> Iterator[Metric]:
    received = CounterMetricFamily("appliance_frames_received", "Frames received", labels=["camera"])
    answered = CounterMetricFamily("appliance_frames_answered", "Frames answered with results", labels=["camera"])
    cached = CounterMetricFamily("appliance_frames_cached", "Frames answered from the cache", labels=["camera"])
    failed = CounterMetricFamily("appliance_frames_failed", "Frames answered with an error", labels=["camera"])
    skipped = CounterMetricFamily("appliance_frames_skipped", "Frames skipped, by reason", labels=["camera", "reason"])
    latency = GaugeMetricFamily(
        "appliance_camera_latency_seconds", "Time from arrival to results, moving average", labels=["camera"]
    )
    faults = GaugeMetricFamily(
        "appliance_camera_picture_fault", "1 while a camera's pictures have this fault", labels=["camera", "fault"]
    )
    for name, camera in cameras.items():
        received.add_metric([name], camera.received)
        answered.add_metric([name], camera.answered)
        cached.add_metric([name], camera.cached)
        failed.add_metric([name], camera.failed)
        for reason, count in camera.skipped.items():
            skipped.add_metric([name, reason], count)
        for fault in PictureFault:
            faults.add_metric([name, fault.value], fault in camera.picture_faults)
        if camera.latency_ms is not None:
            latency.add_metric([name], camera.latency_ms / 1000)
    yield from (received, answered, cached, failed, skipped, latency, faults)
    yield from _gates({name: camera.gate for name, camera in cameras.items() if camera.gate is not None})


def _gates(gates: Mapping[str, GateStats]) -> Iterator[Metric]:
    held = CounterMetricFamily("appliance_gate_held", "Frames held by the scene gate", labels=["camera"])
    audits = CounterMetricFamily("appliance_gate_audits", "Frames inferred to audit the scene gate", labels=["camera"])
    missed = CounterMetricFamily("appliance_gate_missed", "Audits that found a missing object", labels=["camera"])
    recall = GaugeMetricFamily("appliance_gate_recall_ratio", "Measured recall of held frames", labels=["camera"])
    least = GaugeMetricFamily(
        "appliance_gate_recall_lower_ratio", "Its lower bound with 95 % confidence", labels=["camera"]
    )
    for name, gate in gates.items():
        held.add_metric([name], gate.held)
        audits.add_metric([name], gate.audits)
        missed.add_metric([name], gate.missed)
        if gate.recall is not None and gate.recall_at_least is not None:
            recall.add_metric([name], gate.recall)
            least.add_metric([name], gate.recall_at_least)
    yield from (held, audits, missed, recall, least)


def _known_cameras(cameras: Mapping[str, KnownCamera]) -> Iterator[Metric]:
    last = GaugeMetricFamily(
        "appliance_camera_last_frame_timestamp_seconds", "Time of a camera's last frame, since 1970", labels=["camera"]
    )
    silent = GaugeMetricFamily(
        "appliance_camera_silent", "1 while a camera is silent for longer than usual", labels=["camera"]
    )
    for name, camera in cameras.items():
        if camera.last_at_s is not None:
            last.add_metric([name], camera.last_at_s)
        silent.add_metric([name], camera.presence == "silent")
    yield from (last, silent)


class _Collected(Collector):
    """Metrics collected on the event loop, for the thread that formats them."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families
