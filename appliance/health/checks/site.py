"""Checks of the device's part in a site of several."""

from __future__ import annotations

from appliance.health.facts import Facts
from appliance.health.finding import Severity
from appliance.health.findings import Advice, advise


def drained(facts: Facts) -> Advice | None:
    site = facts.notices.site
    if not site.drained:
        return None
    return advise(
        Severity.INFO,
        "The device is drained: it takes no cameras. Cameras and viewers still connected: {count}.",
        "When the maintenance is done, run `sudo appliance undrain`. A restart of the service does the same.",
        count=site.cameras_left,
    )


def site_bus_away(facts: Facts) -> Advice | None:
    if facts.notices.site.bus_problem is None:
        return None
    return advise(
        Severity.DEGRADED,
        "No connection to the bus of the site: {problem}",
        "Check that a NATS server of site.bus_servers runs and accepts this device's key. Detection continues; results "
        "of other devices are missing here, and this device's are missing there.",
        problem=facts.notices.site.bus_problem,
    )
