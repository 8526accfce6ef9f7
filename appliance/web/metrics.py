"""`/metrics` for Prometheus: the same figures as `/health`, in its form."""

from __future__ import annotations

from collections.abc import Iterator

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from appliance.web.health import Health
from appliance.web.payloads import Payload


class HealthCollector(Collector):
    """Turns a health report into metric families when it is asked."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def collect(self) -> Iterator[Metric]:
        report = self._health.report()
        yield from _gauges(report)
        yield from _cameras(report["cameras"])


def routes(health: Health) -> list[web.RouteDef]:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(HealthCollector(health))

    async def metrics(request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [web.get("/metrics", metrics)]


def _gauges(report: Payload) -> Iterator[Metric]:
    device, governor, engine = report["device"], report["governor"], report["engine"]
    values = (
        ("up", "1 when the box is ok, 0.5 when degraded, 0 when critical",
         {"ok": 1.0, "degraded": 0.5, "critical": 0.0}[report["status"]]),
        ("model_loaded", "Whether a model is loaded", float(report["model_loaded"])),
        ("connections", "Socket.IO connections", report["active_connections"]),
        ("cache_entries", "Answers in the exact cache", report["cache_size"]),
        ("soc_temperature_celsius", "Temperature of the chip", device["soc_temp_c"]),
        ("cpu_percent", "CPU use of the whole machine", device["cpu_percent"]),
        ("memory_available_bytes", "Memory that programs can still get", device["memory_available_bytes"]),
        ("resident_memory_bytes", "Memory that this service holds", device["resident_bytes"]),
        ("disk_free_bytes", "Free space of the disk", device["disk_free_bytes"]),
        ("cooling_state", "0 is full work", governor["cooling_state"]),
        ("cooling_state_max", "The last cooling state, where nothing is inferred", governor["max_state"]),
        ("input_side_pixels", "Longest side of the network's input", governor["limits"]["max_side"]),
        ("inference_milliseconds", "Inference of one frame, moving average", engine["infer_ms"]),
        ("capacity_fps", "Frames a second that the engine can do now", engine["capacity_fps"]),
        ("in_flight", "Frames being decoded or inferred", engine["in_flight"]),
        ("waiting", "Frames waiting for their turn", engine["waiting"]),
    )  # fmt: skip
    for name, doc, value in values:
        if value is not None:  # unknown is left out: a number would be a lie
            yield GaugeMetricFamily(f"appliance_{name}", doc, value=value)


def _cameras(cameras: Payload) -> Iterator[Metric]:
    received = CounterMetricFamily("appliance_frames_received", "Frames that came in", labels=["camera"])
    answered = CounterMetricFamily("appliance_frames_answered", "Frames answered with results", labels=["camera"])
    cached = CounterMetricFamily("appliance_frames_cached", "Of those, answered without inference", labels=["camera"])
    failed = CounterMetricFamily("appliance_frames_failed", "Frames answered with an error", labels=["camera"])
    skipped = CounterMetricFamily("appliance_frames_skipped", "Frames dropped on purpose", labels=["camera", "reason"])
    latency = GaugeMetricFamily("appliance_latency_milliseconds", "Arrival to answer", labels=["camera"])
    for name, camera in cameras.items():
        received.add_metric([name], camera["received"])
        answered.add_metric([name], camera["answered"])
        cached.add_metric([name], camera["cached"])
        failed.add_metric([name], camera["failed"])
        for reason, count in camera["skipped"].items():
            skipped.add_metric([name, reason], count)
        if camera["latency_ms"] is not None:
            latency.add_metric([name], camera["latency_ms"])
    yield from (received, answered, cached, failed, skipped, latency)
