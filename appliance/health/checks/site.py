"""Checks of the device's part in a site of several."""

from __future__ import annotations

from appliance.health.facts import Facts
from appliance.health.findings import Advice, advise
from appliance.values import Severity


def drained(facts: Facts) -> Advice | None:
    site = facts.notices.site
    if not site.drained:
        return None
    return advise(
        Severity.INFO,
        "The device is drained: it takes no cameras. {count} cameras and viewers are still connected.",
        "When the maintenance is done, run `appliance undrain`. A restart of the service does the same.",
        count=site.cameras_left,
    )
