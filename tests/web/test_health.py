"""`/health` follows its schema and responds in time, whatever the service is doing."""

from __future__ import annotations

import asyncio
import datetime
import json
import re
import time
import tracemalloc
from importlib.resources import files
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import jsonschema
import pytest

from appliance import __version__
from appliance.health.facts import Notices, Thresholds
from tests.conftest import Running, Serve
from tests.fakes import CANARY_ROWS, FakeEngine, broken_engine
from tests.flow.detectors import Rig, running
from tests.flow.frames import frame
from tests.web.camera import camera
from tests.web.health_rig import EVERYTHING, WALL_S, HealthRig
from tests.web.requests import get, is_limits, picture

SCHEMAS = files("appliance.web") / "schemas"


def strict(schema: Any) -> Any:
    """The schema, with undescribed fields forbidden."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {"additionalProperties": False} if "properties" in schema and "required" in schema else {}
    return closed | {key: strict(part) for key, part in schema.items()}


def validator(name: str) -> jsonschema.Draft202012Validator:
    schema = strict(json.loads((SCHEMAS / name).read_text(encoding="utf-8")))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


REPORT, HISTORY = validator("health.schema.json"), validator("history.schema.json")


def as_sent(payload: object) -> Any:
    return json.loads(json.dumps(payload, allow_nan=False))


# -- the report ------------------------------------------------------------------------------------------------------


def test_a_complete_report_matches_its_schema() -> None:
    rig = HealthRig()
    rig.vitals.notices = lambda: Notices(safe_mode="line 3: unknown key")
    report = as_sent(rig.report())
    REPORT.validate(report)
    device = report["device"]
    assert (device["board"], device["revision"]) == ("Raspberry Pi 5 Model B Rev 1.0", "d04170")
    assert (device["soc_temp_c"], device["trip_temp_c"], device["critical_temp_c"]) == (61.5, 80.0, 110.0)
    assert device["thermal"]["zones"][0]["trips"] == [{"kind": "passive", "temp_c": 80.0, "hysteresis_c": 5.0}]
    assert device["thermal"]["cooling"] == [{"name": "pwm-fan", "state": 2, "max_state": 4}]
    assert device["thermal"]["age_s"] == 1.0
    assert device["storage"]["age_s"] == 10.0
    assert device["power"]["under_voltage_since_boot"] is True
    assert device["unknown"] == {"power.mode": "not a Jetson"}


def test_a_report_without_readings_matches_its_schema() -> None:
    rig = HealthRig()
    rig.governor.reading = None
    report = as_sent(rig.report())
    REPORT.validate(report)
    assert report["device"]["memory_available_bytes"] is None
    assert report["device"]["thermal"]["age_s"] is None


def test_the_start_of_a_finding_follows_a_clock_change() -> None:
    rig = HealthRig()
    rig.vitals.notices = lambda: Notices(config_not_reloaded="line 3")
    rig.advance(90)
    (finding,) = [found for found in rig.report()["findings"] if found["code"] == "config_not_reloaded"]
    assert (finding["since"], finding["for_s"]) == ("2027-01-15T08:00:00+00:00", 90)
    rig.wall.now_s = WALL_S + 86_400
    (finding,) = [found for found in rig.report()["findings"] if found["code"] == "config_not_reloaded"]
    assert (finding["since"], finding["for_s"]) == ("2027-01-16T07:58:30+00:00", 90)


def test_the_report_says_how_long_the_throttle_level_has_lasted() -> None:
    rig = HealthRig()
    rig.advance(30)
    governor = rig.report()["governor"]
    assert (governor["cur_state"], governor["time_in_state_s"]) == (0, 30.0)


async def test_health_returns_the_complete_report(serve: Serve) -> None:
    async with serve(FakeEngine(CANARY_ROWS), wait_ready=True) as running, camera(running.url, "gate") as gate:
        await gate.push(picture(1))
        await gate.first("detection_results")
        status, report = await get(running.url, "/health")
    assert status == 200
    REPORT.validate(report)
    assert report["status"] in ("ok", "degraded")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", report["timestamp_iso"])
    same = datetime.datetime.fromisoformat(report["timestamp_iso"]).timestamp()
    assert report["timestamp"] == pytest.approx(same, abs=0.002)
    assert abs(time.time() - report["timestamp"]) < 3600
    assert report["model_loaded"] is True
    assert report["active_connections"] == 1
    assert report["cache_size"] >= 1
    assert report["version"] == __version__
    assert report["engine"]["model"] == "fake"
    assert report["engine"]["canary"]["proved"] is True
    gate_report = report["cameras"]["gate"]
    assert gate_report["received"] == gate_report["answered"] == 1
    assert is_limits(gate_report["limits"])
    assert report["frames"] == {"received": 1, "answered": 1, "cached": 0, "failed": 0, "skipped": {}}
    assert not any(name.startswith("_") for name in report["cameras"])


async def test_frames_of_disconnected_cameras_still_count(serve: Serve) -> None:
    async with serve(FakeEngine(CANARY_ROWS), wait_ready=True) as running:
        for number in range(2):
            async with camera(running.url, f"gate-{number}") as gate:
                await gate.push(picture(number))
                await gate.first("detection_results")
        _, report = await get(running.url, "/health")
    assert report["frames"]["answered"] == 2


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
    ],
)
async def test_health_is_a_page_for_browsers_and_json_for_other_clients(live: Running, accept: str, kind: str) -> None:
    async with (
        aiohttp.ClientSession(live.url, headers={"Accept": accept}) as session,
        session.get("/health") as answer,
    ):
        assert answer.status == 200
        assert answer.content_type == kind


async def test_health_returns_200_when_degraded_and_503_when_critical(serve: Serve) -> None:
    async with serve(FakeEngine(CANARY_ROWS), wait_ready=True) as running:
        vitals = running.started.parts.vitals
        vitals.thresholds = Thresholds(critical_temp_c=84.0, min_available_bytes=10**15)
        with anyio.fail_after(20):
            while running.started.parts.governor.reading is None:
                await asyncio.sleep(0.01)
        status, report = await get(running.url, "/health")
        assert (status, report["status"]) == (200, "degraded")
        vitals.notices = lambda: Notices(safe_mode="appliance.toml, line 3: unknown key")
        status, report = await get(running.url, "/health")
        assert (status, report["status"]) == (503, "critical")
        what = "Detection is stopped: invalid settings. appliance.toml, line 3: unknown key"
        assert report["findings"][0]["what"] == what


# -- ready and sound -------------------------------------------------------------------------------------------------


async def test_the_service_is_ready_only_after_the_self_test(serve: Serve) -> None:
    engine = FakeEngine(CANARY_ROWS)
    engine.hold()
    async with serve(engine) as running:
        assert (await get(running.url, "/health/ready"))[0] == 503
        assert (await get(running.url, "/health/live"))[0] == 200
        engine.release()
        with anyio.fail_after(20):
            while (await get(running.url, "/health/ready"))[0] != 200:
                await asyncio.sleep(0.01)
        assert (await get(running.url, "/health"))[1]["engine"]["canary"]["proved"] is True


async def test_the_service_is_never_ready_if_the_self_test_finds_nothing(serve: Serve) -> None:
    async with serve(FakeEngine([])) as running:
        with anyio.fail_after(20):
            while not running.started.parts.canary.state.failures:
                await asyncio.sleep(0.01)
        status, answer = await get(running.url, "/health/ready")
        assert status == 503
        assert "0 of 3 drawn stop signs were found" in answer["canary"]
        status, report = await get(running.url, "/health")
        assert (status, report["status"]) == (503, "critical")
        assert report["findings"][0]["code"] == "canary_failed"
        assert (await get(running.url, "/health/live"))[0] == 200


async def test_health_is_critical_while_the_engine_keeps_failing(serve: Serve) -> None:
    engine = FakeEngine(CANARY_ROWS)
    async with serve(engine, wait_ready=True) as running, camera(running.url, "gate") as gate:
        engine.error = broken_engine()
        for number in range(3):
            await gate.push({"image": picture(number), "frame_id": number})
            assert (await gate.answer(number))[1]["code"] == "engine_failed"
        status, report = await get(running.url, "/health")
        assert status == 503
        assert "engine_failing" in [finding["code"] for finding in report["findings"]]
        engine.error = None
        await gate.push({"image": picture(9), "frame_id": 9})
        assert (await gate.answer(9))[0] == "detection_results"
        assert (await get(running.url, "/health"))[0] == 200


async def test_a_hung_engine_is_reported_until_it_continues() -> None:
    rig = Rig(cached=False)
    health = HealthRig(rig)
    async with running(rig):
        rig.engine.hold()
        held = frame("gate", at_s=rig.clock())
        await rig.detector.offer(held)
        await rig.started(1)
        assert health.advance(19).status == "ok"
        assert health.advance(1).status == "critical"
        assert "engine_stuck" in health.codes()
        assert health.report()["engine"]["still_s"] == 20.0
        rig.engine.release()
        await rig.until(lambda: rig.detector.returned == 1)
        health.advance(1)
        assert "engine_stuck" not in health.codes()


async def test_health_responds_while_the_engine_hangs_and_cameras_flood(serve: Serve) -> None:
    engine = FakeEngine(CANARY_ROWS)
    async with (
        serve(engine, wait_ready=True) as running,
        camera(running.url, "gate") as gate,
        camera(running.url, "yard") as yard,
    ):
        engine.hold()
        for number in range(300):
            await (gate, yard)[number % 2].push_blind({"image": picture(number), "frame_id": number})
            if number % 30 == 0:
                status, report = await get(running.url, "/health")
                assert status == 200
                REPORT.validate(report)
        with anyio.fail_after(20):
            while running.started.parts.path.book.tally.received < 300:
                await asyncio.sleep(0.01)
        _, report = await get(running.url, "/health")
        assert report["engine"]["in_flight"] > 0
        assert report["frames"]["received"] == 300
        assert report["frames"]["answered"] == 0
        assert sum(report["frames"]["skipped"].values()) > 200
        assert (await get(running.url, "/health/history"))[0] == 200


# -- what only time shows --------------------------------------------------------------------------------------------


async def test_a_configured_camera_that_is_silent_is_reported() -> None:
    health = HealthRig(named=("gate", "yard"))
    async with running(health.rig) as rig:
        health.advance(119)
        assert "camera_silent" not in health.codes()
        health.advance(1)
        assert "camera_silent" in health.codes()
        for name in ("gate", "yard", "stranger"):
            sent = frame(name, at_s=rig.clock())
            await rig.detector.offer(sent)
            await rig.outcome(sent)
        health.advance(1)
        assert "camera_silent" not in health.codes()
        for _ in range(13):
            health.advance(10)
            sent = frame("gate", at_s=rig.clock())
            await rig.detector.offer(sent)
            await rig.outcome(sent)
        (finding,) = [found for found in health.vitals.findings() if found.code == "camera_silent"]
        assert finding.what == "No frame for 2 min from yard."


async def test_a_camera_that_has_gone_stays_known_and_a_person_removes_it() -> None:
    health = HealthRig()
    async with running(health.rig) as rig:
        for name in ("gate", "passer-by"):
            rig.book.enter(name).connections += 1
        rig.book.enter("passer-by").unnamed = True
        for _ in range(130):
            for name in ("gate", "passer-by"):
                await rig.detector.offer(frame(name, at_s=rig.clock()))
            health.advance(1)
        assert health.report()["known_cameras"]["gate"]["presence"] == "sending"
        for name in ("gate", "passer-by"):
            rig.book.leave(name)
        assert "gate" not in health.report()["cameras"]
        health.advance(121)
        assert health.codes()[0] == "cameras_gone"
        known = health.report()["known_cameras"]
        assert list(known) == ["gate"]  # the other one will never come back under its name
        assert (known["gate"]["presence"], known["gate"]["silent_after_s"]) == ("silent", 120)
        assert known["gate"]["last_frame"] == "2027-01-15T08:02:09+00:00"
        health.vitals.roster.remove("gate")
        health.advance(1)
        assert "cameras_gone" not in health.codes()


async def test_a_camera_that_sends_one_frame_and_leaves_at_once_is_known() -> None:
    health = HealthRig()
    async with running(health.rig) as rig:
        rig.book.enter("trap").connections += 1
        await rig.detector.offer(frame("trap", at_s=rig.clock()))
        rig.book.leave("trap")
        health.advance(1)
        assert health.report()["known_cameras"]["trap"]["presence"] == "quiet"


async def test_cameras_that_send_too_fast_for_a_minute_are_reported_as_the_cause() -> None:
    health = HealthRig()
    tally = health.rig.book.tally
    for _ in range(130):
        tally.received += 10
        tally.skipped["rate_limited"] += 8
        tally.answered += 2
        report = health.advance(1)
    assert "cameras_too_fast" in health.codes()
    assert report.status == "ok", "the cameras are the cause, not the device"
    for _ in range(130):
        tally.received += 10
        tally.skipped["superseded"] += 3
        report = health.advance(1)
    assert "overloaded" in health.codes()
    assert report.status == "degraded"
    health.advance(70)
    assert "overloaded" not in health.codes()


# -- cost ------------------------------------------------------------------------------------------------------------


def test_thousands_of_reports_do_not_grow_memory() -> None:
    health = HealthRig(named=("gate",))

    def ask(times: int) -> int:
        for number in range(times):
            health.governor.reading = EVERYTHING if number % 3 else None  # findings come and go
            health.advance(1)
            health.report()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        ask(300)
        before = ask(100)
        assert ask(2000) - before < 20_000
    finally:
        tracemalloc.stop()


# -- history ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("span", "step_s", "count"), [("hour", 10, 360), ("day", 60, 1440)])
async def test_the_history_is_returned_by_columns(live: Running, span: str, step_s: int, count: int) -> None:
    live.started.parts.watch.history.put(live.started.parts.vitals.excerpt("hour").first_step + 300, [1.0] * 10)
    status, answer = await get(live.url, f"/health/history?span={span}")
    assert status == 200
    HISTORY.validate(answer)
    assert answer["step_s"] == step_s
    assert {len(values) for values in answer["columns"].values()} == {count}
    assert 1.0 in answer["columns"]["cpu_percent"]


async def test_an_unknown_span_gets_400_with_the_valid_ones(live: Running) -> None:
    status, answer = await get(live.url, "/health/history?span=week")
    assert (status, answer["code"]) == (400, "option_invalid")
    assert (await get(live.url, "/health/history"))[1]["span"] == "hour"


async def test_a_running_service_saves_its_history(serve: Serve, tmp_path: Path) -> None:
    async with serve(FakeEngine(CANARY_ROWS), state__history="true", state__dir=str(tmp_path)) as running:
        parts = running.started.parts
        parts.watch.history.put(parts.vitals.excerpt("hour").first_step + 355, [5.0] * 10)
        async with serve(FakeEngine(CANARY_ROWS), state__history="true", state__dir=str(tmp_path)) as second:
            _, report = await get(second.url, "/health")
            assert "state_taken" in [finding["code"] for finding in report["findings"]]
    assert (tmp_path / "history").exists()
    async with serve(FakeEngine(CANARY_ROWS), state__history="true", state__dir=str(tmp_path)) as again:
        _, answer = await get(again.url, "/health/history")
        assert 5.0 in answer["columns"]["cpu_percent"]
        _, report = await get(again.url, "/health")
        assert not [finding for finding in report["findings"] if finding["code"].startswith("state_")]


async def test_a_damaged_history_file_is_reported_and_the_service_runs(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "history").write_bytes(b"no history")
    async with serve(FakeEngine(CANARY_ROWS), state__history="true", state__dir=str(tmp_path)) as running:
        _, report = await get(running.url, "/health")
        (finding,) = [found for found in report["findings"] if found["code"] == "state_set_aside"]
        assert "history.corrupt-1" in finding["what"]


async def test_a_read_only_state_folder_is_reported_and_the_service_runs(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with serve(
        FakeEngine(CANARY_ROWS), wait_ready=True, state__history="true", state__dir=str(tmp_path / "file/state")
    ) as running:
        status, report = await get(running.url, "/health")
        assert status == 200
        assert "state_not_kept" in [finding["code"] for finding in report["findings"]]
