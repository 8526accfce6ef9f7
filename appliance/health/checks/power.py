"""Checks of the power supply."""

from __future__ import annotations

from appliance.health.facts import Facts
from appliance.health.finding import Severity
from appliance.health.findings import Advice


def under_voltage(facts: Facts) -> Advice | None:
    if not facts.reading.power.under_voltage:
        return None
    return Advice(
        Severity.DEGRADED,
        "Power supply: under-voltage.",
        "Use the power supply made for this board (27 W for a Raspberry Pi 5) and a short cable.",
    )


def under_voltage_since_boot(facts: Facts) -> Advice | None:
    power = facts.reading.power
    if not power.under_voltage_since_boot or power.under_voltage:
        return None
    return Advice(
        Severity.INFO,
        "Power supply: under-voltage since the last boot. The voltage is fine now.",
        "Use the power supply made for this board and a short cable. A reboot clears this message.",
    )
