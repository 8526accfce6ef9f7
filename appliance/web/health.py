"""`/health` and its two small sisters: how the box is, for programs and for a technician's phone."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from appliance import __version__
from appliance.errors import ConfigError
from appliance.flow.detector import Detector
from appliance.flow.pace import Pace
from appliance.governor.policy import MAX_STATE
from appliance.governor.service import Governor
from appliance.health.canary import Canary
from appliance.health.findings import Facts, examine, status_of, worst_first
from appliance.ports import Clock
from appliance.readings import Reading
from appliance.values import Finding
from appliance.web import payloads
from appliance.web.payloads import Payload
from appliance.web.publisher import Publisher

PAGE = Path(__file__).parent / "page"


@dataclass(frozen=True, slots=True)
class Health:
    """Puts the parts' own words together; keeps nothing."""

    detector: Detector
    pace: Pace
    governor: Governor
    canary: Canary
    publisher: Publisher
    board: str | None
    critical_temp_c: float
    min_available_bytes: int
    clock: Clock
    notices: Callable[[], tuple[Finding, ...]] = tuple
    """What the process itself has found: safe mode, a reload that failed."""

    def findings(self) -> tuple[Finding, ...]:
        """All of them, worst first."""
        return worst_first((*self.notices(), *self._examined()))

    def _examined(self) -> tuple[Finding, ...]:
        detector = self.detector
        missing = detector.network is None and not isinstance(detector.model_error, ConfigError)
        return examine(
            Facts(
                model_error=str(detector.model_error) if missing else None,
                canary=self.canary.state,
                engine_failures=detector.engine_failures,
                reading=self.governor.reading,
                limits=self.governor.limits,
                critical_temp_c=self.critical_temp_c,
                min_available_bytes=self.min_available_bytes,
            )
        )

    def report(self) -> Payload:
        """The whole of `/health`."""
        findings = self.findings()
        return {
            "status": status_of(findings),
            "timestamp": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds"),
            "model_loaded": self.detector.network is not None,
            "active_connections": len(self.publisher),
            "cache_size": len(self.detector.cache) if self.detector.cache is not None else 0,
            "version": __version__,
            "findings": [
                {"code": found.code, "severity": found.severity.value, "what": found.what, "do": found.do}
                for found in findings
            ],
            "device": self._device(),
            "governor": self._governor(),
            "engine": self._engine(),
            "cameras": {
                name: payloads.of_camera(stats) for name, stats in self.pace.stats().items() if not name.startswith("_")
            },
        }

    def ready(self) -> bool:
        return self.detector.network is not None and self.canary.ready

    def _device(self) -> Payload:
        reading = self.governor.reading or Reading(at_s=0.0)
        thermal, memory, cpu = reading.thermal, reading.memory, reading.cpu
        return {
            "board": self.board,
            "soc_temp_c": thermal.soc_temp_c,
            "trip_temp_c": thermal.passive_temp_c,
            "cpu_percent": cpu.percent,
            "memory_available_bytes": memory.available_bytes,
            "memory_total_bytes": memory.total_bytes,
            "resident_bytes": memory.resident_bytes,
            "disk_free_bytes": reading.storage.free_bytes,
            "uptime_s": reading.system.uptime_s,
        }

    def _governor(self) -> Payload:
        state, limits = self.governor.state, self.governor.limits
        return {
            "cooling_state": state.cooling,
            "max_state": MAX_STATE,
            "transitions": state.transitions,
            "limits": {
                "max_side": limits.max_side,
                "min_interval_s": limits.min_interval_s,
                "max_in_flight": limits.max_in_flight,
                "admit": limits.admit,
                "reason": limits.reason,
            },
        }

    def _engine(self) -> Payload:
        detector, canary = self.detector, self.canary.state
        info = detector.network.info if detector.network else None
        capacity = detector.capacity_fps()
        return {
            "model": info.name if info else None,
            "engine": info.engine if info else None,
            "device": info.device if info else None,
            "precision": info.computed_in(detector.network.engine.precision) if info and detector.network else None,
            "sizes": [f"{size.width}x{size.height}" for size in detector.network.engine.ready()]
            if detector.network
            else [],
            "infer_ms": None if detector.infer_ms is None else round(detector.infer_ms, 2),
            "capacity_fps": None if capacity is None else round(capacity, 1),
            "in_flight": detector.in_flight,
            "waiting": detector.waiting,
            "dropped_results": self.publisher.dropped,
            "canary": {
                "proved": canary.proved,
                "message": canary.message,
                "age_s": None if canary.at_s is None else round(self.clock() - canary.at_s, 1),
                "infer_ms": canary.infer_ms,
            },
        }


def routes(health: Health, respond: Callable[[Payload, int], web.Response]) -> list[web.RouteDef]:
    """`/health` (a page for a browser, JSON for all others), `/health/live`, `/health/ready`."""

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

    return [web.get("/health", report), web.get("/health/live", live), web.get("/health/ready", ready)]
