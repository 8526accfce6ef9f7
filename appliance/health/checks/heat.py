"""Heat, and whether the box can feel it."""

from __future__ import annotations

from appliance.health.facts import Facts
from appliance.health.findings import Advice
from appliance.values import Severity

_REASONS = frozenset({"temperature", "critical_temperature"})
"""Of limits that were lowered because of heat."""
_COOLED_C = 2.0


def too_hot(facts: Facts) -> Advice | None:
    temp_c, critical_c = facts.reading.thermal.soc_temp_c, facts.thresholds.critical_temp_c
    if temp_c is None or not facts.above("too_hot", temp_c, critical_c, critical_c - _COOLED_C):
        return None
    stopped = "" if facts.limits.admit else "; inference is stopped until it has cooled"
    return Advice(
        Severity.CRITICAL,
        f"The chip is at {temp_c:.0f} °C, and {critical_c:.0f} °C is too hot{stopped}.",
        "Give the box shade or air, and look whether its fan turns.",
    )


def hot(facts: Facts) -> Advice | None:
    if facts.limits.reason not in _REASONS or too_hot(facts) is not None:
        return None
    temp_c = facts.reading.thermal.soc_temp_c
    shown = "temperature unknown" if temp_c is None else f"{temp_c:.0f} °C"
    if temp_c is not None and facts.target_temp_c is not None and temp_c < facts.target_temp_c - _COOLED_C:
        what = f"The chip was hot and is at {shown} now; the box still takes fewer and smaller frames."
    else:
        what = f"The chip is hot ({shown}), so the box takes fewer and smaller frames."
    return Advice(
        Severity.DEGRADED,
        what,
        "It recovers by itself. If it happens often: shade, air, a fan, or fewer cameras.",
    )


def throttled(facts: Facts) -> Advice | None:
    power = facts.reading.power
    signs = ((power.throttled, "throttled"), (power.frequency_capped, "frequency capped"),
             (power.soft_limit, "soft temperature limit"))  # fmt: skip
    active = ", ".join(name for sign, name in signs if sign)
    if not active or power.under_voltage:  # a weak supply slows it down as well, and has its own finding
        return None
    return Advice(
        Severity.DEGRADED,
        f"The board slows its own chip down now ({active}).",
        "Give it shade, air or a fan; or lower governor.target_temp_c, so that the service slows down first.",
    )


def throttled_since_boot(facts: Facts) -> Advice | None:
    power = facts.reading.power
    past = power.throttled_since_boot or power.frequency_capped_since_boot or power.soft_limit_since_boot
    if not past or power.throttled or power.frequency_capped or power.soft_limit:
        return None
    return Advice(
        Severity.INFO,
        "The board has slowed its own chip down since it started, but does not now.",
        "Look at the temperature's history for when; a restart of the board clears this.",
    )


def temperature_unknown(facts: Facts) -> Advice | None:
    if facts.reading.thermal.soc_temp_c is not None or not facts.lately.temp_seen:
        return None
    reason = facts.reading.unknown.get("thermal.soc_temp_c", "the sensor gives no value")
    return Advice(
        Severity.DEGRADED,
        f"The temperature can no longer be read: {reason}.",
        "Restart the box. If it stays, its sensor or its kernel driver is broken.",
    )


def no_temperature_sensor(facts: Facts) -> Advice | None:
    if facts.reading.thermal.soc_temp_c is not None or facts.lately.temp_seen:
        return None
    reason = facts.reading.unknown.get("thermal.soc_temp_c", "no sensor was found")
    return Advice(
        Severity.INFO,
        f"The temperature cannot be read: {reason}.",
        "Nothing to do on a virtual machine. On a board: check that the kernel has its thermal driver.",
    )
