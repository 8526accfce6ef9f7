"""The page with a service that is made up: any state of the device, without a model, heat, or waiting."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import math
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from PIL import Image, ImageDraw

from appliance.health.finding import Finding, Severity
from appliance.health.findings import Advice, status_of
from appliance.web.page_files import Page
from appliance.web.report import of_findings
from tests.web.health_rig import HealthRig

Json = dict[str, Any]

_SIGN: Json = {
    "name": "stop sign", "class": 11, "confidence": 0.93, "box": {"x1": 250, "y1": 90, "x2": 370, "y2": 210},
}  # fmt: skip


def camera(received_fps: float = 5.0, **fields: Any) -> Json:
    """The entry of a camera that is well in /health."""
    return {
        "received": 5210, "answered": 5100, "cached": 12, "failed": 0, "skipped": {"superseded": 98},
        "received_fps": received_fps, "answered_fps": received_fps, "latency_ms": 84.0,
        "limits": {"min_interval": 0.2, "max_side": 640, "jpeg_quality": 85, "reason": "normal"}, **fields,
    }  # fmt: skip


def cameras(count: int) -> dict[str, Json]:
    return {f"camera {number}": camera(2 + number % 5) for number in range(1, count + 1)}


def finding(code: str, severity: Severity, advice: Advice) -> Json:
    """A finding as /health shows it."""
    shown = Finding(code, severity, advice.what, advice.do, 0.0, advice.case, advice.values)
    return of_findings((shown,), 600.0, 1_800_000_000.0)[0]


@dataclass
class MadeUp:
    """What the made-up service answers. `down`: it answers nothing."""

    health: Json = field(default_factory=lambda: healthy(cameras(1)))
    history: Json = field(default_factory=lambda: history(360, 10))
    actions: Json = field(default_factory=lambda: {"actions": []})
    audit: list[Json] = field(default_factory=list)
    posted: list[tuple[str, Json]] = field(default_factory=list)
    """The actions that were asked for."""
    answer: Json = field(default_factory=dict)
    """To the next action."""
    answer_status: int = 200
    answer_after_s: float = 0.0
    token: str | None = None
    """What a stranger needs to sign in with; None: everybody is at home."""
    sign_ins_refused: bool = False
    role: str = "operator"
    """Of the token; a camera's may not see the device."""
    site: Json = field(default_factory=lambda: {"enabled": False, "devices": [], "gone": []})
    down: bool = False
    pictures_missing: int = 0
    """How often a picture is asked for in vain at first."""
    results_every_s: float = 0.5
    paths: list[str] = field(default_factory=list)
    """Every path that was asked for."""


def healthy(known: dict[str, Json] | None = None, findings: Iterable[Json] = ()) -> Json:
    """A report of a device with all sensors, these cameras and these findings."""
    report = HealthRig().report()
    found = list(findings)
    report["findings"] = found
    report["status"] = status_of(Finding("", Severity(one["severity"]), "", "", 0.0) for one in found)
    report["cameras"] = known or {}
    report["known_cameras"] = {}
    report["frames"]["received"] = 87_090 if known else 0
    report["engine"].update(
        model="yolo11n", engine="openvino", device="CPU", precision="f32", infer_ms=31.0, capacity_fps=32.0
    )
    report["engine"]["canary"] = {"proved": True, "message": "test image recognised", "age_s": 12.0, "infer_ms": 30.0}
    report["device"]["soc_temp_c"] = 61.5
    return report


def history(count: int, step_s: int) -> Json:
    """A history that has a bit of everything, gaps included."""
    end = int(time.time()) // step_s * step_s
    wave = [math.sin(index / 25) for index in range(count)]
    gap = range(count // 3, count // 3 + count // 20)

    def column(base: float, swing: float) -> list[float | None]:
        return [None if index in gap else round(base + swing * one, 2) for index, one in enumerate(wave)]

    return {
        "schema": 1,
        "span": "hour",
        "start": end - (count - 1) * step_s,
        "step_s": step_s,
        "columns": {
            "soc_temp_c": column(62, 9), "cooling_state": [max(0, round(3 * one)) for one in wave],
            "cpu_percent": column(55, 30), "memory_available_bytes": column(2.4e9, 3e8),
            "answered_fps": column(4.2, 1.1), "refused_fps": column(80, 60), "latency_p50_ms": column(80, 15),
            "latency_p95_ms": column(140, 60), "latency_ms": column(84, 12), "cameras": column(3, 0),
            "status": column(0, 0),
        },
    }  # fmt: skip


def picture(width: int = 640, height: int = 360) -> bytes:
    """A JPEG with a street and a sign."""
    image = Image.new("RGB", (width, height), "#7fa0b8")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, height * 0.62, width, height), fill="#5a5f5c")
    draw.polygon(
        [(width * 0.42, height * 0.62), (width * 0.58, height * 0.62), (width, height), (0, height)], fill="#3d4245"
    )
    draw.regular_polygon((310, 150, 60), 8, fill="#b3121d", outline="white")
    draw.rectangle((306, 210, 314, 300), fill="#ccc")
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    return file.getvalue()


@asynccontextmanager
async def serving(made_up: MadeUp) -> AsyncIterator[str]:
    """Serve the page and the made-up answers; yields the address."""
    page = Page()
    jpeg = picture()

    @web.middleware
    async def note(request: web.Request, handler: Any) -> web.StreamResponse:
        made_up.paths.append(request.path)
        if made_up.down:
            assert request.transport is not None
            request.transport.abort()
        answer: web.StreamResponse = await handler(request)
        return answer

    async def health(request: web.Request) -> web.StreamResponse:
        if "text/html" in request.headers.get("Accept", ""):
            return await page.index(request)
        if made_up.token and (request.cookies.get("session") != made_up.token or made_up.role == "camera"):
            return web.json_response({"schema": 1, "status": made_up.health["status"], "timestamp": 0.0})
        return web.json_response(made_up.health)

    async def site(request: web.Request) -> web.Response:
        return web.json_response(made_up.site)

    async def past(request: web.Request) -> web.Response:
        return web.json_response(made_up.history)

    async def latest(request: web.Request) -> web.Response:
        if made_up.pictures_missing:
            made_up.pictures_missing -= 1
            return web.json_response({"error": "no picture", "code": "no_picture"}, status=404)
        return web.Response(body=jpeg, content_type="image/jpeg", headers={"X-Frame-Id": json.dumps(1)})

    async def offered(request: web.Request) -> web.Response:
        return web.json_response(made_up.actions)

    async def audited(request: web.Request) -> web.Response:
        return web.json_response({"entries": made_up.audit})

    async def sign_in(request: web.Request) -> web.Response:
        if made_up.sign_ins_refused:
            return web.json_response({"error": "wait", "code": "too_many_attempts"}, status=429)
        if (await request.json())["token"] != made_up.token:
            return web.json_response({"error": "wrong token", "code": "unauthorized"}, status=401)
        answer = web.json_response({"name": "anna", "role": made_up.role, "may": []})
        answer.set_cookie("session", str(made_up.token), httponly=True, samesite="Strict")
        return answer

    async def who(request: web.Request) -> web.Response:
        is_known = made_up.token is not None and request.cookies.get("session") == made_up.token
        name, role = ("anna", made_up.role) if is_known else ("anyone", None)
        return web.json_response({"name": name, "role": role, "may": []})

    async def sign_out(request: web.Request) -> web.Response:
        answer = web.json_response({"status": "signed_out"})
        answer.del_cookie("session")
        return answer

    async def results(request: web.Request) -> web.WebSocketResponse:
        return await _results(request, made_up)

    async def act(request: web.Request) -> web.Response:
        made_up.posted.append((request.match_info["name"], await request.json()))
        await asyncio.sleep(made_up.answer_after_s)
        return web.json_response(made_up.answer, status=made_up.answer_status)

    app = web.Application(middlewares=[note])
    app.add_routes(
        [
            *page.routes(), web.get("/health", health), web.get("/health/history", past), web.get("/site", site),
            web.get("/cameras/{name}/latest.jpg", latest), web.get("/actions", offered),
            web.get("/actions/audit", audited),
            web.post("/actions/{name}", act), web.get("/session", who), web.post("/session", sign_in),
            web.delete("/session", sign_out), web.get("/socket.io/", results),
        ]
    )  # fmt: skip
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _results(request: web.Request, made_up: MadeUp) -> web.WebSocketResponse:
    """As much of Socket.IO as the page's client needs, and results of every camera that sends."""
    socket = web.WebSocketResponse()
    with contextlib.suppress(ConnectionError, TypeError):  # the page was closed meanwhile
        await socket.prepare(request)
        await socket.send_str('0{"sid":"1","upgrades":[],"pingInterval":25000,"pingTimeout":20000}')
        await socket.receive_str()
        await socket.send_str('40{"sid":"1"}')
        await socket.receive_str()
        await socket.send_str('430[{"status":"ok"}]')
        while not socket.closed:
            await asyncio.sleep(made_up.results_every_s)
            for name, stats in made_up.health["cameras"].items():
                if stats["received_fps"] and stats["answered_fps"]:
                    result = {"camera": name, "frame_id": 1, "detections": [_SIGN], "cached": False}
                    await socket.send_str("42" + json.dumps(["detection_results", result]))
    return socket
