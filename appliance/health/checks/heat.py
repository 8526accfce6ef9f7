"""Checks of the chip's temperature, its sensor, and throttling by the board."""

from __future__ import annotations

from appliance.health.facts import Facts
from appliance.health.finding import Severity
from appliance.health.findings import Advice, advise

_HEAT_REASONS = frozenset({"temperature", "critical_temperature"})
"""Reasons of limits that were lowered because of heat."""
_HYSTERESIS_C = 2.0
_TOO_COLD_C = 15.0
"""Boards throttle within a few degrees of their trip point, and for some seconds after."""
_COOL_C = 10.0
"""A slow chip this far below its throttling temperature is not slow because of heat, and not throttled."""


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
    if temperature_implausible(facts) is not None:
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


def throttled_unseen(facts: Facts) -> Advice | None:
    reading = facts.reading
    if not reading.doubts.slowed or reading.power.under_voltage or throttled(facts) is not None:
        return None
    do = (
        "Touch the housing: if it is hot, add shade, airflow or a fan. Check the power supply and its cable too. "
        "Detection is throttled meanwhile, to let the chip cool."
    )
    temp_c = reading.thermal.soc_temp_c
    if temp_c is None:
        what = (
            "The chip runs much slower than before under the same load, although the board does not report throttling."
        )
        return advise(Severity.DEGRADED, what, do, "unknown")
    passive_c = reading.thermal.passive_temp_c
    if passive_c is not None and temp_c < passive_c - _COOL_C:
        what = (
            "The chip runs much slower than before under the same load, although it is at {temp_c} and its board "
            "throttles at {passive_c}: heat is not the cause."
        )
        do = (
            "Check the power supply and its cable, and the power limit in the firmware's setup. Programs that use the "
            "GPU also take power from the processor."
        )
        return advise(Severity.DEGRADED, what, do, "cool", temp_c=temp_c, passive_c=passive_c)
    what = (
        "The chip runs much slower than before under the same load, although the board reports {temp_c} and no "
        "throttling."
    )
    return advise(Severity.DEGRADED, what, do, temp_c=temp_c)


def temperature_implausible(facts: Facts) -> Advice | None:
    reading = facts.reading
    stuck_c, temp_c, passive_c = reading.doubts.stuck_temp_c, reading.thermal.soc_temp_c, reading.thermal.passive_temp_c
    if stuck_c is not None:
        return advise(
            Severity.DEGRADED,
            "The temperature sensor is stuck at {temp_c}: it ignores the load. Detection is throttled as a precaution.",
            "Restart the device. If this comes back, the sensor or its kernel driver is faulty: replace the board.",
            "stuck",
            temp_c=stuck_c,
        )
    if not _too_cold_to_throttle(facts) or temp_c is None or passive_c is None:
        return None
    return advise(
        Severity.DEGRADED,
        "The sensor reports {temp_c}, but the board is throttling its chip, which it does at {passive_c}.",
        "Touch the housing: if it is hot, the sensor is faulty; add shade or airflow and replace the board. If it is "
        "cool, check the power supply and its cable.",
        "cold",
        temp_c=temp_c,
        passive_c=passive_c,
    )


def _too_cold_to_throttle(facts: Facts) -> bool:
    power, thermal = facts.reading.power, facts.reading.thermal
    if power.under_voltage or not (power.throttled or power.frequency_capped) or thermal.passive_temp_c is None:
        return False
    cold_c = thermal.passive_temp_c - _TOO_COLD_C
    return facts.below("temperature_implausible", thermal.soc_temp_c, cold_c, cold_c + _TOO_COLD_C / 2)


def temperature_unknown(facts: Facts) -> Advice | None:
    if facts.reading.thermal.soc_temp_c is not None or not facts.recent.temp_seen:
        return None
    if facts.reading.doubts.stuck_temp_c is not None:  # has its own finding
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
