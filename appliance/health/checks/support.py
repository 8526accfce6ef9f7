"""Checks of what whoever ships the device has stated about its support."""

from __future__ import annotations

from appliance.health.facts import Facts
from appliance.health.findings import Advice, advise
from appliance.values import Severity


def support_unstated(facts: Facts) -> Advice | None:
    unstated = facts.notices.support.unstated
    if not unstated:
        return None
    return advise(
        Severity.INFO,
        "Not stated: whom to tell about a weakness of this device, or how long it gets fixes. Missing: {settings}.",
        "Whoever ships the device sets them once, in its settings.",
        settings=unstated,
    )


def support_ended(facts: Facts) -> Advice | None:
    month = facts.notices.support.ended
    if not month:
        return None
    return advise(
        Severity.DEGRADED,
        "Weaknesses of this device are no longer fixed: its support ended with {month}.",
        "Replace the device, or ask whoever shipped it. If the support goes on, correct server.supported_until.",
        month=month,
    )
