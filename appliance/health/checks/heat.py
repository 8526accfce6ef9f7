"""Checks of the chip's temperature, its sensor, and throttling by the board."""

from __future__ import annotations

from appliance.health.facts import Facts
from appliance.health.findings import Advice
from appliance.values import Severity

_HEAT_REASONS = frozenset({"temperature", "critical_temperature"})
"""Reasons of limits that were lowered because of heat."""
_HYSTERESIS_C = 2.0


def too_hot(facts: Facts) -> Advice | None:
    temp_c, critical_c = facts.reading.thermal.soc_temp_c, facts.thresholds.critical_temp_c
    if temp_c is None or not facts.above("too_hot", temp_c, critical_c, critical_c - _HYSTERESIS_C):
        return None
    paused = "" if facts.limits.admit else " Detection is paused until it cools down."
    return Advice(
        Severity.CRITICAL,
        f"Overheated: the chip is at {temp_c:.0f} °C (limit {critical_c:.0f} °C).{paused}",
        "Check that the fan is running. Shade the device and let air reach it.",
    )


def hot(facts: Facts) -> Advice | None:
    if facts.limits.reason not in _HEAT_REASONS or too_hot(facts) is not None:
        return None
    temp_c = facts.reading.thermal.soc_temp_c
    shown = "temperature unknown" if temp_c is None else f"{temp_c:.0f} °C"
    if temp_c is not None and facts.target_temp_c is not None and temp_c < facts.target_temp_c - _HYSTERESIS_C:
        what = f"The chip has cooled to {shown}. Detection is still throttled and is recovering."
    else:
        what = f"The chip is hot ({shown}). Detection is throttled: fewer frames, lower resolution."
    return Advice(
        Severity.DEGRADED,
        what,
        "No action needed: the device recovers by itself. If this happens often, add shade, airflow or a fan, or "
        "connect fewer cameras.",
    )


def throttled(facts: Facts) -> Advice | None:
    power = facts.reading.power
    flags = ((power.throttled, "throttled"), (power.frequency_capped, "frequency capped"),
             (power.soft_limit, "soft temperature limit"))  # fmt: skip
    active = ", ".join(name for flag, name in flags if flag)
    if not active or power.under_voltage:  # a weak supply throttles the chip too, and has its own finding
        return None
    return Advice(
        Severity.DEGRADED,
        f"The board's firmware is throttling the chip ({active}).",
        "Add shade, airflow or a fan. Or lower governor.target_temp_c, so that the governor throttles detection "
        "before the firmware does.",
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
    return Advice(
        Severity.DEGRADED,
        f"The temperature sensor has stopped working: {reason}.",
        "Reboot the device. If this comes back, the sensor or its kernel driver is faulty.",
    )


def no_temperature_sensor(facts: Facts) -> Advice | None:
    if facts.reading.thermal.soc_temp_c is not None or facts.recent.temp_seen:
        return None
    reason = facts.reading.unknown.get("thermal.soc_temp_c", "no sensor found")
    return Advice(
        Severity.INFO,
        f"No temperature reading: {reason}.",
        "This is normal on a virtual machine. On a board, check that the kernel's thermal driver is loaded.",
    )
