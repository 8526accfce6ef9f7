"""Checks of the cameras themselves."""

from __future__ import annotations

from appliance.health.facts import Facts
from appliance.health.finding import Severity
from appliance.health.findings import Advice, advise

_FORGET = "If it has been removed for good, run `sudo appliance cameras forget NAME`."


def cameras_gone(facts: Facts) -> Advice | None:
    if not facts.all_gone:
        return None
    return advise(
        Severity.DEGRADED,
        "No camera is sending. The last frame came {shortest_s} ago. Missing: {cameras}.",
        "Check the network between cameras and device first (switch, cable, power over Ethernet), then their power.",
        shortest_s=min(facts.silent_s.values()),
        cameras=tuple(sorted(facts.silent_s)),
    )


def camera_silent(facts: Facts) -> Advice | None:
    if not facts.silent_s or facts.all_gone:
        return None
    return advise(
        Severity.DEGRADED,
        "No frame for {longest_s} from {cameras}.",
        f"Check the camera's power and network, and its name and token if [cameras] has some. {_FORGET}",
        longest_s=max(facts.silent_s.values()),
        cameras=tuple(sorted(facts.silent_s)),
    )
