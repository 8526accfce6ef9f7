"""The sections of `/health`: the parts' own values, in the shape of docs/health.schema.json."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec

from appliance.flow.detector import Detector
from appliance.flow.tally import Tally
from appliance.governor.service import Governor
from appliance.readings import Board, Reading
from appliance.values import CanaryState, Finding
from appliance.web.payloads import Payload

_GROUPS = ("thermal", "power", "memory", "cpu", "storage", "system")


def of_findings(findings: tuple[Finding, ...], now_s: float, wall_s: float) -> list[Payload]:
    """`now_s` is monotonic and `wall_s` the same moment since 1970: together they date what began a while ago."""
    return [
        {
            "code": found.code,
            "severity": found.severity.value,
            "since": date(wall_s - (now_s - found.since_s), "seconds"),
            "for_s": round(now_s - found.since_s),
            "what": found.what,
            "do": found.do,
        }
        for found in findings
    ]


def of_device(board: Board, reading: Reading, now_s: float) -> Payload:
    """What matters most at its top level, then each group of readings with its age."""
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


def of_governor(governor: Governor) -> Payload:
    held_s, target_c = governor.held_for_s, governor.target_c
    return {
        "cur_state": governor.cur_state,
        "max_state": governor.max_state,
        "cooling_state": governor.cur_state,
        "time_in_state_s": round(governor.time_in_state_s, 1),
        "transitions": governor.transitions,
        "held_for_s": None if held_s is None else round(held_s, 1),
        "target_temp_c": None if target_c is None else round(target_c, 1),
        "limits": msgspec.to_builtins(governor.limits),
    }


def of_engine(detector: Detector, canary: CanaryState, dropped_results: int, still_s: float, now_s: float) -> Payload:
    network = detector.network
    info = network.info if network else None
    capacity = detector.capacity_fps()
    return {
        "model": info.name if info else None,
        "engine": info.engine if info else None,
        "device": info.device if info else None,
        "precision": info.computed_in(network.engine.precision) if info and network else None,
        "sizes": [f"{size.width}x{size.height}" if size else "any" for size in network.engine.ready()]
        if network
        else [],
        "infer_ms": None if detector.infer_ms is None else round(detector.infer_ms, 2),
        "capacity_fps": None if capacity is None else round(capacity, 1),
        "in_flight": detector.in_flight,
        "waiting": detector.waiting,
        "failures": detector.engine_failures,
        "still_s": round(still_s, 1),
        "dropped_results": dropped_results,
        "canary": {
            "proved": canary.proved,
            "message": canary.message,
            "age_s": None if canary.at_s is None else round(now_s - canary.at_s, 1),
            "infer_ms": canary.infer_ms,
        },
    }


def of_frames(tally: Tally) -> Payload:
    """All cameras' frames since the start, also of those that have left."""
    return {
        "received": tally.received,
        "answered": tally.answered,
        "cached": tally.cached,
        "failed": tally.failed,
        "skipped": dict(tally.skipped),
    }


def date(wall_s: float, precision: str = "milliseconds") -> str:
    """Seconds since 1970 as ISO 8601, UTC."""
    return datetime.datetime.fromtimestamp(wall_s, datetime.timezone.utc).isoformat(timespec=precision)


def _group(group: Any, now_s: float) -> Payload:
    values: Payload = msgspec.to_builtins(group)
    at_s = values.pop("at_s")
    return {"age_s": None if at_s is None else round(now_s - at_s, 1), **values}
