"""What is wrong, and what to do about it: one small check a finding, all over the same facts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from appliance.readings import Reading
from appliance.values import CanaryState, Finding, Limits, Severity


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the checks look at."""

    model_error: str | None
    canary: CanaryState
    engine_failures: int
    reading: Reading | None
    limits: Limits
    critical_temp_c: float
    min_available_bytes: int


Check = Callable[[Facts], Finding | None]


def _model(facts: Facts) -> Finding | None:
    if facts.model_error is None:
        return None
    return Finding(
        "model_missing", Severity.CRITICAL, f"There is no working model: {facts.model_error}",
        "Run `appliance model fetch --force` on the box (or set model.name), then restart the service.",
    )  # fmt: skip


def _canary(facts: Facts) -> Finding | None:
    if facts.model_error is not None or facts.canary.at_s is None or facts.canary.failures == 0:
        return None
    proved_before = facts.canary.proved and facts.canary.failures < 3
    return Finding(
        "canary_failed",
        Severity.DEGRADED if proved_before else Severity.CRITICAL,
        f"The known picture did not come back as it should: {facts.canary.message}.",
        "Restart the service. If it stays, run `appliance doctor` and fetch the model again.",
    )


def _engine(facts: Facts) -> Finding | None:
    if facts.engine_failures < 3:
        return None
    return Finding(
        "engine_failing", Severity.CRITICAL, f"The last {facts.engine_failures} inferences failed.",
        "Restart the service; the log says why they failed.",
    )  # fmt: skip


def _temperature(facts: Facts) -> Finding | None:
    temp = facts.reading.thermal.soc_temp_c if facts.reading else None
    if temp is not None and temp >= facts.critical_temp_c:
        return Finding(
            "too_hot", Severity.CRITICAL, f"The chip is at {temp:.0f} °C; inference is stopped until it has cooled.",
            "Give the box shade or air, and look whether its fan turns.",
        )  # fmt: skip
    if facts.limits.reason in ("temperature", "critical_temperature"):
        shown = "unknown" if temp is None else f"{temp:.0f} °C"
        return Finding(
            "hot", Severity.DEGRADED, f"The chip is hot ({shown}), so the box takes fewer and smaller frames.",
            "It recovers by itself. If it happens often: shade, air, a fan, or fewer cameras.",
        )  # fmt: skip
    return None


def _memory(facts: Facts) -> Finding | None:
    available = facts.reading.memory.available_bytes if facts.reading else None
    if available is None or available >= facts.min_available_bytes:
        return None
    return Finding(
        "memory_low", Severity.DEGRADED, f"Only {available // 1_000_000} MB of memory are left.",
        "Stop what else runs on this box, or connect fewer cameras.",
    )  # fmt: skip


def _disk(facts: Facts) -> Finding | None:
    free = facts.reading.storage.free_bytes if facts.reading else None
    if free is None or free >= 100_000_000:
        return None
    return Finding(
        "disk_low", Severity.DEGRADED, f"Only {free // 1_000_000} MB of disk are free.",
        "Delete what is not needed; `sudo journalctl --vacuum-size=50M` frees old logs.",
    )  # fmt: skip


CHECKS: tuple[Check, ...] = (_model, _canary, _engine, _temperature, _memory, _disk)


def examine(facts: Facts) -> tuple[Finding, ...]:
    """All findings, worst first."""
    return worst_first(finding for check in CHECKS if (finding := check(facts)) is not None)


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    order = list(Severity)
    return tuple(sorted(findings, key=lambda finding: -order.index(finding.severity)))


def status_of(findings: Iterable[Finding]) -> str:
    """ok, degraded or critical: the worst finding."""
    severities = {finding.severity for finding in findings}
    for severity in (Severity.CRITICAL, Severity.DEGRADED):
        if severity in severities:
            return str(severity.value)
    return "ok"
