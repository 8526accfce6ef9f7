"""Checks of frames in and results out."""

from __future__ import annotations

from appliance.health.facts import Facts
from appliance.health.finding import Severity
from appliance.health.findings import Advice, advise

_MEANINGFUL = 10
"""Frames or events a minute; with fewer, a percentage says nothing."""


def overloaded(facts: Facts) -> Advice | None:
    recent = facts.recent
    if recent.received < _MEANINGFUL or not facts.limits.admit:  # refusing all frames has its own finding
        return None
    part = recent.overloaded / recent.received
    if not facts.above("overloaded", part, 0.2, 0.1):
        return None
    return advise(
        Severity.DEGRADED,
        "Overloaded: {dropped_percent} of frames dropped in the last minute.",
        "Connect fewer cameras, lower flow.max_side, or make the cameras follow the `limits` event.",
        dropped_percent=100 * part,
    )


def cameras_too_fast(facts: Facts) -> Advice | None:
    recent = facts.recent
    if recent.received < _MEANINGFUL:
        return None
    part = recent.rate_limited / recent.received
    if not facts.above("cameras_too_fast", part, 0.5, 0.4):
        return None
    return advise(
        Severity.INFO,
        "Cameras send too fast: {dropped_percent} of frames in the last minute were over the rate limit and dropped.",
        "Lower the cameras' frame rate, or make them follow the `limits` event. This also saves network traffic.",
        dropped_percent=100 * part,
    )


def results_dropped(facts: Facts) -> Advice | None:
    dropped = facts.recent.results_dropped
    if not facts.above("results_dropped", dropped, _MEANINGFUL, 1):
        return None
    return advise(
        Severity.DEGRADED,
        "{count} results were dropped in the last minute: a client reads them too slowly.",
        "Check the network of cameras and viewers. Close pages that nobody watches.",
        count=dropped,
    )
