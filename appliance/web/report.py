"""Convert a snapshot of the device's state to the JSON of `/health` (schemas/health.schema.json)."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import msgspec

from appliance import __version__
from appliance.flow.tally import Tally
from appliance.health.finding import Finding, FindingValue
from appliance.health.roster import KnownCamera
from appliance.readings import Board, Reading
from appliance.tls.server import TlsState
from appliance.vitals.snapshot import GovernorState, ServiceState, Snapshot
from appliance.web import payloads
from appliance.web.payloads import Payload

_GROUPS = ("thermal", "power", "memory", "cpu", "storage", "system")


def of_snapshot(snapshot: Snapshot) -> Payload:
    """The complete payload of `/health`."""
    return {
        "schema": 1,
        "status": snapshot.status,
        "timestamp": round(snapshot.wall_s, 3),
        "timestamp_iso": date(snapshot.wall_s),
        "model_loaded": snapshot.engine.model is not None,
        "active_connections": snapshot.delivery.connections,
        "cache_size": snapshot.cached_answers,
        "version": __version__,
        "findings": of_findings(snapshot.findings, snapshot.at_s, snapshot.wall_s),
        "device": of_device(snapshot.board, snapshot.reading, snapshot.at_s),
        "governor": of_governor(snapshot.governor),
        "engine": of_engine(snapshot),
        "frames": of_frames(snapshot.tally),
        "cameras": {name: payloads.of_camera(stats) for name, stats in snapshot.cameras.items()},
        "known_cameras": {name: of_known_camera(camera) for name, camera in snapshot.known_cameras.items()},
        "service": of_service(snapshot.service, snapshot.wall_s),
        "tls": of_tls(snapshot.tls),
    }


def of_known_camera(camera: KnownCamera) -> Payload:
    """A camera that is or was here, with dates."""
    first_at_s, last_at_s, after_s = camera.first_at_s, camera.last_at_s, camera.silent_after_s
    return {
        "presence": camera.presence,
        "first_frame": None if first_at_s is None else date(first_at_s, "seconds"),
        "last_frame": None if last_at_s is None else date(last_at_s, "seconds"),
        "silent_s": round(camera.silent_s, 1),
        "silent_after_s": None if after_s is None else round(after_s, 1),
        "configured": camera.configured,
        "label": camera.label,
    }


def of_service(service: ServiceState, wall_s: float) -> Payload:
    """For how long this process has run, and how often it was restarted."""
    return {
        "uptime_s": round(service.uptime_s, 1),
        "started": date(wall_s - service.uptime_s, "seconds"),
        "restarts": service.restarts,
    }


def state_of(snapshot: Snapshot) -> Payload:
    """What `/health` says to a stranger."""
    return {
        "schema": 1,
        "status": snapshot.status,
        "timestamp": round(snapshot.wall_s, 3),
        "timestamp_iso": date(snapshot.wall_s),
    }


def of_findings(findings: tuple[Finding, ...], now_s: float, wall_s: float) -> list[Payload]:
    """Findings with dates. `now_s` (monotonic) and `wall_s` (since 1970) are the same moment on two clocks."""
    return [
        {
            "code": finding.code,
            "severity": finding.severity.value,
            "since": date(wall_s - (now_s - finding.since_s), "seconds"),
            "for_s": round(now_s - finding.since_s),
            "what": finding.what,
            "do": finding.do,
            "case": finding.case,
            "values": of_values(finding.values),
        }
        for finding in findings
    ]


def of_values(values: Mapping[str, FindingValue]) -> Payload:
    """What a finding says about its case; figures with the two decimals that a text may show."""
    return {name: round(value, 2) if isinstance(value, float) else value for name, value in values.items()}


def of_device(board: Board, reading: Reading, now_s: float) -> Payload:
    """The most important readings at the top level, then each group of readings with its age."""
    thermal, memory = reading.thermal, reading.memory
    return {
        "board": board.name,
        "revision": board.revision,
        "serial": board.serial,
        "soc_temp_c": thermal.soc_temp_c,
        "trip_temp_c": thermal.passive_temp_c,
        "critical_temp_c": thermal.critical_temp_c,
        "cpu_percent": reading.cpu.percent,
        "memory_available_bytes": memory.available_bytes,
        "memory_total_bytes": memory.total_bytes,
        "resident_bytes": memory.resident_bytes,
        "disk_free_bytes": reading.storage.free_bytes,
        "uptime_s": reading.system.uptime_s,
        **{name: _group(getattr(reading, name), now_s) for name in _GROUPS},
        "unknown": dict(reading.unknown),
    }


def of_governor(governor: GovernorState) -> Payload:
    """The throttle level and the limits in force."""
    held_s, target_c = governor.held_for_s, governor.target_c
    return {
        "cur_state": governor.cooling,
        "max_state": governor.max_cooling,
        "time_in_state_s": round(governor.time_in_state_s, 1),
        "transitions": governor.transitions,
        "held_for_s": None if held_s is None else round(held_s, 1),
        "target_temp_c": None if target_c is None else round(target_c, 1),
        "limits": msgspec.to_builtins(governor.limits),
    }


def of_engine(snapshot: Snapshot) -> Payload:
    """The model in use, its speed, and the self-test."""
    engine, canary = snapshot.engine, snapshot.canary
    model, infer_ms, capacity_fps = engine.model, engine.infer_ms, engine.capacity_fps
    return {
        "model": model.name if model else None,
        "engine": model.engine if model else None,
        "device": model.device if model else None,
        "precision": engine.precision,
        "sizes": [f"{size.width}x{size.height}" if size else "any" for size in engine.sizes],
        "infer_ms": None if infer_ms is None else round(infer_ms, 2),
        "capacity_fps": None if capacity_fps is None else round(capacity_fps, 1),
        "in_flight": engine.in_flight,
        "waiting": engine.waiting,
        "failures": engine.failures,
        "still_s": round(engine.still_s, 1),
        "dropped_results": snapshot.delivery.dropped,
        "canary": {
            "proved": canary.proved,
            "message": canary.message,
            "age_s": None if canary.at_s is None else round(snapshot.at_s - canary.at_s, 1),
            "infer_ms": canary.infer_ms,
        },
    }


def of_tls(tls: TlsState | None) -> Payload | None:
    """The certificate that the port presents; None: no HTTPS."""
    if tls is None:
        return None
    return {
        "fingerprint_sha256": tls.facts.fingerprint_in_pairs,
        "key_sha256": tls.facts.key_pin,
        "not_after": date(tls.facts.not_after_s, "seconds"),
        "made_by_device": tls.made_here,
    }


def of_frames(tally: Tally) -> Payload:
    """Frame counts of all cameras since the start, including disconnected ones."""
    return {
        "received": tally.received,
        "answered": tally.answered,
        "cached": tally.cached,
        "failed": tally.failed,
        "skipped": dict(tally.skipped),
    }


def date(wall_s: float, precision: str = "milliseconds") -> str:
    """Seconds since 1970 as ISO 8601, UTC."""
    rounded_s = round(wall_s, 3 if precision == "milliseconds" else 0)  # isoformat() would truncate
    return datetime.datetime.fromtimestamp(rounded_s, datetime.timezone.utc).isoformat(timespec=precision)


def _group(group: Any, now_s: float) -> Payload:
    values: Payload = msgspec.to_builtins(group)
    at_s = values.pop("at_s")
    return {"age_s": None if at_s is None else round(now_s - at_s, 1), **values}
