"""Checks of what whoever ships the device has stated about its support."""

from __future__ import annotations

from appliance.health.facts import Facts
from appliance.health.finding import Severity
from appliance.health.findings import Advice, advise


def support_unstated(facts: Facts) -> Advice | None:
    unstated = facts.notices.support.unstated
    if not unstated:
        return None
    return advise(
        Severity.INFO,
        "Not stated: where to report a vulnerability of this device, or how long it gets fixes. Missing: {settings}.",
        "Whoever ships the device sets them once, in its settings.",
        settings=unstated,
    )


def support_ended(facts: Facts) -> Advice | None:
    month = facts.notices.support.ended
    if not month:
        return None
    return advise(
        Severity.DEGRADED,
        "This device no longer gets security fixes: support ended in {month}.",
        "Replace the device, or ask whoever shipped it. If the support goes on, correct server.supported_until.",
        month=month,
    )
