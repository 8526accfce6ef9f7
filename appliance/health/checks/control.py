"""Who steers the box: the governor, a person, the configuration, the clock."""

from __future__ import annotations

from appliance.durations import in_words
from appliance.health.facts import Facts
from appliance.health.findings import Advice
from appliance.values import Severity


def last_cooling_state(facts: Facts) -> Advice | None:
    if facts.cooling < facts.max_cooling or facts.max_cooling == 0:  # nothing is governed
        return None
    if facts.limits.admit:
        severity, what = Severity.DEGRADED, "The box does the least it can"
    else:
        severity, what = Severity.CRITICAL, "The box refuses all frames"
    return Advice(
        severity,
        f"{what}: it is in its last cooling state ({facts.limits.reason.replace('_', ' ')}).",
        "It comes back by itself when the cause is gone; the other findings name it.",
    )


def governor_held(facts: Facts) -> Advice | None:
    if facts.held_for_s is None:
        return None
    return Advice(
        Severity.INFO,
        f"Someone holds the box in cooling state {facts.cooling} for another {in_words(facts.held_for_s)}.",
        "`appliance governor release` ends that.",
    )


def safe_mode(facts: Facts) -> Advice | None:
    if facts.notices.safe_mode is None:
        return None
    return Advice(
        Severity.CRITICAL,
        f"The settings are wrong, so no frame is looked at: {facts.notices.safe_mode}",
        "Mend that; the box notices by itself within seconds. `appliance config check` says whether it is good.",
    )


def config_not_reloaded(facts: Facts) -> Advice | None:
    if facts.notices.config_not_reloaded is None:
        return None
    return Advice(
        Severity.DEGRADED,
        f"The new settings do not hold: {facts.notices.config_not_reloaded}",
        "Mend that, then run `sudo systemctl reload appliance`. Until then the settings from before hold.",
    )


def part_failed(facts: Facts) -> Advice | None:
    if facts.notices.part_failed is None:
        return None
    return Advice(
        Severity.DEGRADED,
        f"A part of the service fails and is started again: {facts.notices.part_failed}",
        "Frames are still processed. Report this with the traceback in `journalctl -u appliance`.",
    )


def clock_not_synchronised(facts: Facts) -> Advice | None:
    if facts.reading.system.clock_synchronised is not False:
        return None
    return Advice(
        Severity.INFO,
        "The clock follows no time server: times in logs and history may be wrong.",
        "Give the box a way to a time server (NTP, UDP port 123), or a clock module with a battery.",
    )
