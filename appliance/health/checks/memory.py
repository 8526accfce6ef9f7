"""Memory: of the machine, of the control group that may end the service, and the swap behind both."""

from __future__ import annotations

from appliance.health.facts import Facts
from appliance.health.findings import Advice
from appliance.health.words import megabytes
from appliance.values import Severity

_FEWER = "Stop what else runs on this box, or connect fewer cameras."


def memory_low(facts: Facts) -> Advice | None:
    available, least = facts.reading.memory.available_bytes, facts.thresholds.min_available_bytes
    if available is None or not facts.below("memory_low", available, least, 1.2 * least):
        return None
    return Advice(Severity.DEGRADED, f"Only {megabytes(available)} of memory are left.", _FEWER)


def memory_limit_near(facts: Facts) -> Advice | None:
    memory = facts.reading.memory
    used, limit = memory.cgroup_used_bytes, memory.cgroup_limit_bytes
    if used is None or not limit or not facts.above("memory_limit_near", used / limit, 0.9, 0.85):
        return None
    return Advice(
        Severity.DEGRADED,
        f"The service uses {megabytes(used)} of the {megabytes(limit)} it is allowed; at the limit it is ended.",
        "Raise MemoryMax= of the unit or the limit of the container, or connect fewer cameras.",
    )


def memory_pressure(facts: Facts) -> Advice | None:
    percent = facts.reading.memory.pressure_percent
    if percent is None or not facts.above("memory_pressure", percent, 20, 10):
        return None
    return Advice(
        Severity.DEGRADED, f"Programs on this box wait for memory {percent:.0f} % of the time.", _FEWER
    )  # fmt: skip


def swapping(facts: Facts) -> Advice | None:
    memory = facts.reading.memory
    used, total = memory.swap_used_bytes, memory.swap_total_bytes
    if used is None or not total or not facts.above("swapping", used / total, 0.75, 0.6):
        return None
    return Advice(
        Severity.DEGRADED, f"{megabytes(used)} of {megabytes(total)} of swap are in use, which is slow.", _FEWER
    )  # fmt: skip
