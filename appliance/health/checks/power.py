"""The supply."""

from __future__ import annotations

from appliance.health.facts import Facts
from appliance.health.findings import Advice
from appliance.values import Severity


def under_voltage(facts: Facts) -> Advice | None:
    if not facts.reading.power.under_voltage:
        return None
    return Advice(
        Severity.DEGRADED,
        "Under-voltage now: the supply does not keep up.",
        "Use the supply made for this board (27 W for a Raspberry Pi 5) and a short cable.",
    )


def under_voltage_since_boot(facts: Facts) -> Advice | None:
    power = facts.reading.power
    if not power.under_voltage_since_boot or power.under_voltage:
        return None
    return Advice(
        Severity.INFO,
        "There was under-voltage since the board started, but there is none now.",
        "Use the supply made for this board and a short cable; a restart of the board clears this.",
    )
