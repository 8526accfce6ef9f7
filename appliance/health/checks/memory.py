"""Checks of memory: the machine's, the service's control group, and swap."""

from __future__ import annotations

from appliance.health.facts import Facts
from appliance.health.finding import Severity
from appliance.health.findings import Advice, advise

_REDUCE_LOAD = "Stop other programs on this device, or connect fewer cameras."


def memory_low(facts: Facts) -> Advice | None:
    available, least = facts.reading.memory.available_bytes, facts.thresholds.min_available_bytes
    if available is None or not facts.below("memory_low", available, least, 1.2 * least):
        return None
    return advise(
        Severity.DEGRADED, "Low memory: {available_bytes} available.", _REDUCE_LOAD, available_bytes=available
    )


def memory_limit_near(facts: Facts) -> Advice | None:
    memory = facts.reading.memory
    used, limit = memory.cgroup_used_bytes, memory.cgroup_limit_bytes
    if used is None or not limit or not facts.above("memory_limit_near", used / limit, 0.9, 0.85):
        return None
    return advise(
        Severity.DEGRADED,
        "The service uses {used_bytes} of its {limit_bytes} memory limit. It is killed if it reaches the limit.",
        "Raise the limit (MemoryMax= of the unit, or the container's limit), or connect fewer cameras.",
        used_bytes=used,
        limit_bytes=limit,
    )


def memory_pressure(facts: Facts) -> Advice | None:
    percent = facts.reading.memory.pressure_percent
    if percent is None or not facts.above("memory_pressure", percent, 20, 10):
        return None
    return advise(
        Severity.DEGRADED,
        "Memory pressure: programs spend {waiting_percent} of the time waiting for memory.",
        _REDUCE_LOAD,
        waiting_percent=percent,
    )


def swapping(facts: Facts) -> Advice | None:
    memory = facts.reading.memory
    used, total = memory.swap_used_bytes, memory.swap_total_bytes
    if used is None or not total or not facts.above("swapping", used / total, 0.75, 0.6):
        return None
    return advise(
        Severity.DEGRADED,
        "Swap is nearly full: {used_bytes} of {total_bytes} in use. This slows the device down.",
        _REDUCE_LOAD,
        used_bytes=used,
        total_bytes=total,
    )
