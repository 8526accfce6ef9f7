"""Checks of the chip's temperature, its sensor, and throttling by the board."""

from __future__ import annotations

from appliance.health.facts import Facts
from appliance.health.findings import Advice, advise
from appliance.values import Severity

_HEAT_REASONS = frozenset({"temperature", "critical_temperature"})
"""Reasons of limits that were lowered because of heat."""
_HYSTERESIS_C = 2.0


def too_hot(facts: Facts) -> Advice | None:
    temp_c, critical_c = facts.reading.thermal.soc_temp_c, facts.thresholds.critical_temp_c
    if temp_c is None or not facts.above("too_hot", temp_c, critical_c, critical_c - _HYSTERESIS_C):
        return None
    do = "Check that the fan is running. Shade the device and let air reach it."
    what = "Overheated: the chip is at {temp_c} (limit {critical_c})."
    if facts.limits.admit:
        return advise(Severity.CRITICAL, what, do, temp_c=temp_c, critical_c=critical_c)
    what += " Detection is paused until it cools down."
    return advise(Severity.CRITICAL, what, do, "paused", temp_c=temp_c, critical_c=critical_c)


def hot(facts: Facts) -> Advice | None:
    if facts.limits.reason not in _HEAT_REASONS or too_hot(facts) is not None:
        return None
    temp_c = facts.reading.thermal.soc_temp_c
    do = (
        "No action needed: the device recovers by itself. If this happens often, add shade, airflow or a fan, or "
        "connect fewer cameras."
    )
    if temp_c is None:
        what = "The chip is hot (temperature unknown). Detection is throttled: fewer frames, lower resolution."
        return advise(Severity.DEGRADED, what, do, "unknown")
    if facts.target_temp_c is not None and temp_c < facts.target_temp_c - _HYSTERESIS_C:
        what = "The chip has cooled to {temp_c}. Detection is still throttled and is recovering."
        return advise(Severity.DEGRADED, what, do, "cooled", temp_c=temp_c)
    what = "The chip is hot ({temp_c}). Detection is throttled: fewer frames, lower resolution."
    return advise(Severity.DEGRADED, what, do, temp_c=temp_c)


def throttled(facts: Facts) -> Advice | None:
    power = facts.reading.power
    flags = ((power.throttled, "throttled"), (power.frequency_capped, "frequency capped"),
             (power.soft_limit, "soft temperature limit"))  # fmt: skip
    active = tuple(name for flag, name in flags if flag)
    if not active or power.under_voltage:  # a weak supply throttles the chip too, and has its own finding
        return None
    return advise(
        Severity.DEGRADED,
        "The board's firmware is throttling the chip ({flags}).",
        "Add shade, airflow or a fan. Or lower governor.target_temp_c, so that the governor throttles detection "
        "before the firmware does.",
        flags=active,
    )


def throttled_since_boot(facts: Facts) -> Advice | None:
    power = facts.reading.power
    past = power.throttled_since_boot or power.frequency_capped_since_boot or power.soft_limit_since_boot
    if not past or power.throttled or power.frequency_capped or power.soft_limit:
        return None
    return Advice(
        Severity.INFO,
        "The board's firmware has throttled the chip since the last boot. It is not throttling now.",
        "Check the temperature history to find out when. A reboot clears this message.",
    )


def temperature_unknown(facts: Facts) -> Advice | None:
    if facts.reading.thermal.soc_temp_c is not None or not facts.recent.temp_seen:
        return None
    reason = facts.reading.unknown.get("thermal.soc_temp_c", "the sensor returns no value")
    return advise(
        Severity.DEGRADED,
        "The temperature sensor has stopped working: {reason}.",
        "Reboot the device. If this comes back, the sensor or its kernel driver is faulty.",
        reason=reason,
    )


def no_temperature_sensor(facts: Facts) -> Advice | None:
    if facts.reading.thermal.soc_temp_c is not None or facts.recent.temp_seen:
        return None
    reason = facts.reading.unknown.get("thermal.soc_temp_c", "no sensor found")
    return advise(
        Severity.INFO,
        "No temperature reading: {reason}.",
        "This is normal on a virtual machine. On a board, check that the kernel's thermal driver is loaded.",
        reason=reason,
    )
