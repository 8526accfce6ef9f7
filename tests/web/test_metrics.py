"""`/metrics`, parsed by Prometheus' own parser."""

from __future__ import annotations

import re
import time
from pathlib import Path

import aiohttp
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from appliance import __version__
from appliance.health.catalogue import CATALOGUE
from appliance.health.facts import Notices
from tests.conftest import Serve
from tests.fakes import CANARY_ROWS, FakeEngine
from tests.web.camera import camera
from tests.web.health_rig import HealthRig
from tests.web.requests import picture

Samples = dict[tuple[str, str | None], float]

DOCS = Path(__file__).parents[2] / "docs"


def samples_of(families: list[Metric], label: str) -> Samples:
    """Values by metric name and label."""
    return {(sample.name, sample.labels.get(label)): sample.value for family in families for sample in family.samples}


async def scrape(url: str) -> list[Metric]:
    async with aiohttp.ClientSession(url) as session, session.get("/metrics") as answer:
        assert answer.status == 200
        assert answer.content_type == "text/plain"
        return list(text_string_to_metric_families(await answer.text()))


async def test_prometheus_parses_the_metrics(serve: Serve) -> None:
    async with serve(FakeEngine(CANARY_ROWS), wait_ready=True) as running, camera(running.url, "gate") as gate:
        await gate.push({"image": picture(100), "frame_id": 1})
        await gate.answer(1)
        await gate.push({"image": b"x", "frame_id": 2})
        await gate.answer(2)
        families = await scrape(running.url)
    samples = samples_of(families, "camera")
    assert samples["appliance_model_loaded", None] == 1
    assert samples["appliance_connections", None] == 1
    assert samples["appliance_cooling_state", None] == 0
    assert samples["appliance_frames_answered_total", "gate"] == 1
    assert samples["appliance_frames_failed_total", "gate"] == 1
    assert ("appliance_frames_received_total", "_canary") not in samples
    assert all(name.startswith(("appliance_", "process_start_time_seconds")) for name, _ in samples)
    assert 0 <= time.time() - samples["process_start_time_seconds", None] < 100
    assert samples_of(families, "version")["appliance_build_info", __version__] == 1
    assert samples_of(families, "model")["appliance_model_info", "fake"] == 1
    outcomes = samples_of(families, "outcome")
    assert (outcomes["appliance_frames_total", "inferred"], outcomes["appliance_frames_total", "failed"]) == (1, 1)


async def test_active_states_are_1_and_all_others_0(serve: Serve) -> None:
    async with serve(FakeEngine(CANARY_ROWS), wait_ready=True) as running:
        running.started.parts.vitals.notices = lambda: Notices(safe_mode="line 3")
        families = await scrape(running.url)
    findings = samples_of(families, "code")
    assert findings["appliance_finding", "safe_mode"] == 1
    severities = samples_of(families, "severity")
    assert {severity for name, severity in severities if name == "appliance_finding"} == {
        "info",
        "degraded",
        "critical",
    }
    assert {code for name, code in findings if name == "appliance_finding"} == {check.code for check in CATALOGUE}
    statuses = samples_of(families, "status")
    assert [statuses["appliance_status", status] for status in ("ok", "degraded", "critical")] == [0, 0, 1]


async def test_latency_is_a_histogram_that_grows(serve: Serve) -> None:
    async with serve(FakeEngine(CANARY_ROWS), wait_ready=True) as running, camera(running.url, "gate") as gate:
        for number in range(5):
            await gate.push({"image": picture(number), "frame_id": number})
            await gate.answer(number)
        families = await scrape(running.url)
    (latency,) = [family for family in families if family.name == "appliance_latency_seconds"]
    assert latency.type == "histogram"
    buckets = [sample.value for sample in latency.samples if sample.name.endswith("_bucket")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == 5
    assert samples_of(families, "le")["appliance_latency_seconds_count", None] == 5
    assert samples_of(families, "le")["appliance_latency_seconds_sum", None] > 0


async def test_unknown_values_are_omitted_and_known_ones_use_base_units(serve: Serve) -> None:
    from appliance.web.metrics import collect

    rig = HealthRig()
    known = samples_of(list(collect(rig.vitals.snapshot())), "none")
    assert known["appliance_soc_temperature_celsius", None] == 61.5
    assert known["appliance_cpu_usage_ratio", None] == 0.43
    assert known["appliance_under_voltage", None] == 0
    rig.governor.reading = None
    unknown = samples_of(list(collect(rig.vitals.snapshot())), "none")
    assert {name for name, _ in known} - {name for name, _ in unknown} == {
        "appliance_soc_temperature_celsius", "appliance_cpu_usage_ratio", "appliance_memory_available_bytes",
        "appliance_memory_total_bytes", "appliance_resident_memory_bytes", "appliance_disk_free_bytes",
        "appliance_uptime_seconds", "appliance_under_voltage", "appliance_throttled",
    }  # fmt: skip


def test_every_metric_is_documented() -> None:
    from appliance.web.metrics import collect

    chapter = (DOCS / "health.md").read_text(encoding="utf-8").split("\n## Metrics\n")[1]
    documented: set[str] = set()
    for name in re.findall(r"`((?:appliance|process)_[\w{},]+)`", chapter):
        family = re.sub(r"\{[\w,]+\}$", "", name)
        several = re.fullmatch(r"(\w+)\{([\w,]+)\}(\w+)", family)
        documented |= {several[1] + word + several[3] for word in several[2].split(",")} if several else {family}
    suffix = {"counter": "_total", "info": "_info"}
    rig = HealthRig()
    assert documented == {family.name + suffix.get(family.type, "") for family in collect(rig.vitals.snapshot())} | {
        "appliance_inference_seconds", "appliance_capacity_frames_per_second"
    }  # fmt: skip
