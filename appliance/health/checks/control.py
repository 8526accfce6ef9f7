"""Checks of what controls the device: governor, settings, service tasks, clock."""

from __future__ import annotations

from appliance.durations import in_words
from appliance.health.facts import Facts
from appliance.health.findings import Advice
from appliance.values import Severity


def last_cooling_state(facts: Facts) -> Advice | None:
    if facts.cooling < facts.max_cooling or facts.max_cooling == 0:  # the governor is off
        return None
    if facts.limits.admit:
        severity, what = Severity.DEGRADED, "Detection is throttled to the minimum"
    else:
        severity, what = Severity.CRITICAL, "Detection is paused and all frames are refused"
    return Advice(
        severity,
        f"{what}: the governor is at its last throttle level (reason: {facts.limits.reason.replace('_', ' ')}).",
        "Fix the cause, which the other findings name. The device then recovers by itself.",
    )


def governor_held(facts: Facts) -> Advice | None:
    if facts.held_for_s is None:
        return None
    return Advice(
        Severity.INFO,
        f"The governor is held manually at throttle level {facts.cooling} for another {in_words(facts.held_for_s)}.",
        "To return to automatic control now, run `appliance governor release`.",
    )


def safe_mode(facts: Facts) -> Advice | None:
    if facts.notices.safe_mode is None:
        return None
    return Advice(
        Severity.CRITICAL,
        f"Detection is stopped: invalid settings. {facts.notices.safe_mode}",
        "Fix the settings; the service picks up the change within seconds. To check them, run "
        "`appliance config check`.",
    )


def config_not_reloaded(facts: Facts) -> Advice | None:
    if facts.notices.config_not_reloaded is None:
        return None
    return Advice(
        Severity.DEGRADED,
        f"The new settings were rejected: {facts.notices.config_not_reloaded}",
        "Fix the settings, then run `sudo systemctl reload appliance`. The previous settings stay in effect.",
    )


def part_failed(facts: Facts) -> Advice | None:
    if facts.notices.part_failed is None:
        return None
    return Advice(
        Severity.DEGRADED,
        f"A background task of the service fails and is being restarted: {facts.notices.part_failed}",
        "Detection continues. Report this with the traceback from `journalctl -u appliance`.",
    )


def clock_not_synchronised(facts: Facts) -> Advice | None:
    if facts.reading.system.clock_synchronised is not False:
        return None
    return Advice(
        Severity.INFO,
        "The clock is not synchronised. Times in logs and history may be wrong.",
        "Allow access to an NTP server (UDP port 123), or add a battery-backed clock module.",
    )
