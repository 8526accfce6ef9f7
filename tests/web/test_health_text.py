"""The state as text for a serial console."""

from __future__ import annotations

import aiohttp

from appliance.health.finding import Finding, Severity
from appliance.web import health_text, report
from tests.conftest import Serve


async def test_the_text_fits_a_serial_console(serve: Serve) -> None:
    async with serve() as running, aiohttp.ClientSession() as client:
        async with client.get(f"{running.url}/health", headers={"Accept": "text/plain"}) as response:
            assert response.content_type == "text/plain"
            lines = (await response.text()).splitlines()
        async with client.get(f"{running.url}/health", headers={"Accept": "*/*"}) as response:
            assert response.content_type == "application/json"
            payload = await response.json()
    assert len(lines) <= 20
    assert max(map(len, lines)) <= health_text.WIDTH
    assert lines[0].startswith(("OK", "DEGRADED", "CRITICAL"))
    for label in ("temperature", "memory", "throttle", "model", "frames", "cameras"):
        assert any(line.startswith(label) for line in lines), label
    found = tuple(
        Finding(f"code_{n}", Severity.DEGRADED, "a long sentence " * 30, "do it " * 50, since_s=0.0) for n in range(9)
    )
    payload["findings"] = report.of_findings(found, 0.0, 0.0)
    payload["known_cameras"] = {
        f"camera {n}": {"presence": "silent", "silent_s": 500.0, "label": ""} for n in range(20)
    }
    text = health_text.of_payload(payload)
    assert "5 more findings in /health" in text
    assert "14 more: appliance cameras list" in text
    assert max(map(len, text.splitlines())) <= health_text.WIDTH


def test_a_report_without_details_still_says_how_the_device_is() -> None:
    text = health_text.of_payload({"status": "degraded", "timestamp_iso": "2026-01-02T03:04:05.678+00:00"})
    assert text == "DEGRADED   2026-01-02 03:04:05 UTC\n"


def test_each_problem_has_a_mark_by_its_severity() -> None:
    found = tuple(Finding(f"is_{one.value}", one, "It is so.", "Do this.", since_s=0.0) for one in Severity)
    lines = health_text.of_payload({"status": "critical", "findings": report.of_findings(found, 0.0, 0.0)}).splitlines()
    assert "!! It is so. (is_critical)" in lines
    assert "!  It is so. (is_degraded)" in lines
    assert "-  1 more finding in /health" in lines


def test_a_service_that_restarted_once_says_so_in_good_english() -> None:
    def text(restarts: int) -> str:
        return health_text.of_payload({"status": "ok", "service": {"uptime_s": 60.0, "restarts": restarts}})

    assert "restarted 1 time since boot" in text(1)
    assert "restarted 0 times since boot" in text(0)


def test_a_slow_camera_has_an_interval_and_no_rate_of_zero() -> None:
    def text(answered_fps: float, interval_s: float) -> str:
        stats = {"answered_fps": answered_fps, "latency_ms": 80.0, "limits": {"min_interval": interval_s}}
        known = {"gate": {"presence": "sending", "silent_s": 3.0, "label": ""}}
        return health_text.of_payload({"status": "ok", "known_cameras": known, "cameras": {"gate": stats}})

    assert "one frame every 21 s, 80 ms" in text(0.0, 21.0)
    assert "0.1 fps, 80 ms" in text(0.1, 2.0)
    assert "1 connected of 1 known" in text(2.0, 0.2)
