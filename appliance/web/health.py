"""`/health` and its small sisters: how the box is, for programs and for a technician's phone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast, get_args

from aiohttp import web

from appliance import __version__
from appliance.errors import ConfigError
from appliance.flow.cameras import CameraBook
from appliance.flow.detector import Detector
from appliance.flow.pace import Pace
from appliance.governor.service import Governor
from appliance.health import history
from appliance.health.canary import Canary
from appliance.health.catalogue import CATALOGUE
from appliance.health.facts import Bounds, Facts, Notices
from appliance.health.findings import Register, status_of
from appliance.health.recorder import Look
from appliance.health.trends import Counts, Trends
from appliance.health.watch import Watch
from appliance.ports import Clock
from appliance.readings import Board, Reading
from appliance.values import Finding, SkipReason
from appliance.web import payloads, report
from appliance.web.payloads import Payload
from appliance.web.publisher import Publisher
from appliance.web.respond import Respond, encode

PAGE = Path(__file__).parent / "page"


class Health:
    """Puts the parts' own words together, and remembers only since when they say so."""

    def __init__(
        self,
        *,
        detector: Detector,
        pace: Pace,
        book: CameraBook,
        governor: Governor,
        canary: Canary,
        publisher: Publisher,
        watch: Watch,
        board: Board,
        bounds: Bounds,
        clock: Clock,
        notices: Callable[[], Notices] = Notices,
        wall_clock: Clock = time.time,
    ) -> None:
        self.detector, self.pace, self.governor, self.canary = detector, pace, governor, canary
        self.publisher, self.watch, self.notices = publisher, watch, notices
        self.book, self.board, self.bounds = book, board, bounds
        self.clock, self._wall_clock = clock, wall_clock
        self._register, self._trends = Register(CATALOGUE), Trends()
        self._heard_s: dict[str, float] = {}
        """When each camera that the settings name was heard of last."""

    @property
    def reading(self) -> Reading:
        return self.governor.reading or Reading(at_s=0.0)

    def look(self) -> Look:
        """What the watch sees, once a second."""
        counts = self._counts()
        self._trends.note(counts, self.reading.thermal.soc_temp_c)
        self._heard_s = {name: self._heard(name) for name in self.book.policies}
        cameras = sum(camera.sending(counts.at_s) for name, camera in self.book if not name.startswith("_"))
        return Look(self.reading, counts, self.governor.state.cooling, cameras, status_of(self.findings()))

    def _heard(self, name: str) -> float:
        camera = self.book.get(name)
        if camera is not None and camera.last_frame_s is not None:
            return camera.last_frame_s
        return self._heard_s.get(name, self.clock())

    def findings(self) -> tuple[Finding, ...]:
        """What is wrong now, worst first."""
        now, detector, governor = self.clock(), self.detector, self.governor
        missing = detector.network is None and not isinstance(detector.model_error, ConfigError)
        return self._register.look(
            Facts(
                now_s=now,
                bounds=self.bounds,
                model_error=str(detector.model_error) if missing else None,
                canary=self.canary.state,
                engine_failures=detector.engine_failures,
                reading=self.reading,
                limits=governor.limits,
                cooling=governor.state.cooling,
                max_cooling=governor.max_state,
                target_temp_c=governor.target_c,
                held_for_s=governor.held_for_s,
                lately=self._trends.lately(),
                silent_s={name: now - heard_s for name, heard_s in self._heard_s.items()},
                kept=self.watch.kept,
                notices=self.notices(),
                activation_error=detector.activation_error,
            )
        )

    def report(self) -> Payload:
        """The whole of `/health`."""
        findings, now, wall = self.findings(), self.clock(), self._wall_clock()
        detector = self.detector
        still_s = self._trends.lately().engine_still_s
        return {
            "schema": 1,
            "status": status_of(findings),
            "timestamp": round(wall, 3),
            "timestamp_iso": report.date(wall),
            "model_loaded": detector.network is not None,
            "active_connections": len(self.publisher),
            "cache_size": len(detector.cache) if detector.cache is not None else 0,
            "version": __version__,
            "findings": report.of_findings(findings, now, wall),
            "device": report.of_device(self.board, self.reading, now),
            "governor": report.of_governor(self.governor),
            "engine": report.of_engine(detector, self.canary.state, self.publisher.dropped, still_s, now),
            "frames": report.of_frames(self.book.tally),
            "cameras": {
                name: payloads.of_camera(stats) for name, stats in self.pace.stats().items() if not name.startswith("_")
            },
        }

    def ready(self) -> bool:
        return self.detector.network is not None and self.canary.ready

    def excerpt(self, span: history.Span) -> history.Excerpt:
        """The last hour or day."""
        return self.watch.history.excerpt(span, self._wall_clock())

    def _counts(self) -> Counts:
        tally, detector = self.book.tally, self.detector
        limited = tally.skipped[SkipReason.RATE_LIMITED.value]
        return Counts(
            at_s=self.clock(),
            received=tally.received,
            answered=tally.answered,
            overloaded=tally.skipped.total() - limited,
            rate_limited=limited,
            results_dropped=self.publisher.dropped,
            latency_counts=tuple(tally.latency_counts),
            in_flight=detector.in_flight,
            returned=detector.returned,
        )


def routes(health: Health, respond: Respond) -> list[web.RouteDef]:
    """`/health` (a page for a browser, JSON for all others), `/health/live`, `/health/ready`, `/health/history`."""

    async def report(request: web.Request) -> web.StreamResponse:
        if "text/html" in request.headers.get("Accept", ""):
            return web.FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache", "Vary": "Accept"})
        payload = health.report()
        return respond(payload, 503 if payload["status"] == "critical" else 200)

    async def live(request: web.Request) -> web.Response:
        return respond({"live": True}, 200)

    async def ready(request: web.Request) -> web.Response:
        canary = health.canary.state
        return respond({"ready": health.ready(), "canary": canary.message}, 200 if health.ready() else 503)

    async def past(request: web.Request) -> web.Response:
        span = request.query.get("span", "hour")
        if span not in get_args(history.Span):
            return respond({"error": "span is hour or day", "code": "option_invalid"}, 400)
        excerpt = health.excerpt(cast(history.Span, span))
        body = await asyncio.get_running_loop().run_in_executor(None, lambda: encode(history.as_json(excerpt)))
        return respond.encoded(body, 200)

    return [
        web.get("/health", report),
        web.get("/health/live", live),
        web.get("/health/ready", ready),
        web.get("/health/history", past),
    ]
