"""Frames in and results out."""

from __future__ import annotations

from appliance.durations import in_words
from appliance.health.facts import Facts
from appliance.health.findings import Advice
from appliance.health.words import some
from appliance.values import Severity

_ENOUGH = 10
"""Frames or events a minute, below which a part of them says nothing."""
_SILENT_S = 120.0


def overloaded(facts: Facts) -> Advice | None:
    lately = facts.lately
    if lately.received < _ENOUGH or not facts.limits.admit:  # a box that refuses all says so elsewhere
        return None
    part = lately.overloaded / lately.received
    if not facts.above("overloaded", part, 0.2, 0.1):
        return None
    return Advice(
        Severity.DEGRADED,
        f"The box had no time for {part:.0%} of the frames of the last minute.",
        "Connect fewer cameras, lower flow.max_side, or let the cameras obey the `limits` that they are told.",
    )


def cameras_too_fast(facts: Facts) -> Advice | None:
    lately = facts.lately
    if lately.received < _ENOUGH:
        return None
    part = lately.rate_limited / lately.received
    if not facts.above("cameras_too_fast", part, 0.5, 0.4):
        return None
    return Advice(
        Severity.INFO,
        f"{part:.0%} of the frames of the last minute came sooner than their cameras were told, and were dropped.",
        "Set the cameras to a slower pace, or to obey the `limits` event: it saves their network.",
    )


def results_dropped(facts: Facts) -> Advice | None:
    dropped = facts.lately.results_dropped
    if not facts.above("results_dropped", dropped, _ENOUGH, 1):
        return None
    return Advice(
        Severity.DEGRADED,
        f"{dropped} answers of the last minute were dropped, because a client did not read them.",
        "Look at the network of cameras and viewers; close pages that nobody watches.",
    )


def camera_silent(facts: Facts) -> Advice | None:
    silent = sorted(name for name, silent_s in facts.silent_s.items() if silent_s >= _SILENT_S)
    if not silent:
        return None
    longest_s = max(facts.silent_s[name] for name in silent)
    return Advice(
        Severity.DEGRADED,
        f"No frame from {some(silent)} for {in_words(longest_s)}.",
        "Check power and network of the camera, and that it uses the name and token from [cameras].",
    )
