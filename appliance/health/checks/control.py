"""Checks of what controls the device: governor, settings, service tasks, clock."""

from __future__ import annotations

from appliance.health.checks.heat import too_hot
from appliance.health.facts import Facts
from appliance.health.finding import Severity
from appliance.health.findings import Advice, advise


def last_cooling_state(facts: Facts) -> Advice | None:
    if facts.cooling < facts.max_cooling or facts.max_cooling == 0:  # the governor is off
        return None
    if not facts.limits.admit and too_hot(facts) is not None:  # which says that detection is paused
        return None
    reason = facts.limits.reason.replace("_", " ")
    do = "Fix the cause, which the other findings name. The device then recovers by itself."
    why = "the governor is at its last throttle level (reason: {reason})."
    if facts.limits.admit:
        return advise(Severity.DEGRADED, f"Detection is throttled to the minimum: {why}", do, reason=reason)
    what = f"Detection is paused and all frames are refused: {why}"
    return advise(Severity.CRITICAL, what, do, "paused", reason=reason)


def governor_held(facts: Facts) -> Advice | None:
    if facts.held_for_s is None:
        return None
    return advise(
        Severity.INFO,
        "The governor is held manually at throttle level {level} for another {left_s}.",
        "To return to automatic control now, run `sudo appliance governor release`.",
        level=facts.cooling,
        left_s=facts.held_for_s,
    )


def safe_mode(facts: Facts) -> Advice | None:
    if facts.notices.safe_mode is None:
        return None
    return advise(
        Severity.CRITICAL,
        "Detection is stopped: invalid settings. {problem}",
        "Fix the settings; the service picks up the change within seconds. To check them, run "
        "`appliance config check`.",
        problem=facts.notices.safe_mode,
    )


def config_not_reloaded(facts: Facts) -> Advice | None:
    if facts.notices.config_not_reloaded is None:
        return None
    return advise(
        Severity.DEGRADED,
        "The new settings were rejected: {problem}",
        "Fix the settings, then run `sudo systemctl reload appliance`. The previous settings stay in effect.",
        problem=facts.notices.config_not_reloaded,
    )


def unknown_classes(facts: Facts) -> Advice | None:
    names = facts.notices.unknown_classes
    if not names:
        return None
    return advise(
        Severity.DEGRADED,
        "The settings of cameras name classes that the model does not have: {classes}.",
        "Correct the names under [cameras] in the settings, or on the page of the camera.",
        classes=", ".join(names[:5]),
    )


def part_failed(facts: Facts) -> Advice | None:
    if facts.notices.part_failed is None:
        return None
    return advise(
        Severity.DEGRADED,
        "A background task of the service fails and is being restarted: {problem}",
        "Detection continues. Report this with the traceback from `journalctl -u appliance`.",
        problem=facts.notices.part_failed,
    )


def certificate_invalid(facts: Facts) -> Advice | None:
    if facts.notices.certificate.problem is None:
        return None
    return advise(
        Severity.DEGRADED,
        "The TLS certificate cannot be used: {problem}",
        "Correct tls.certificate and tls.key. The service reads the files again within a minute. Until then it "
        "presents the last usable certificate, or its own.",
        problem=facts.notices.certificate.problem,
    )


def certificate_expires(facts: Facts) -> Advice | None:
    left_s = facts.notices.certificate.expires_in_s
    if left_s is None:
        return None
    do = "Renew the files of tls.certificate and tls.key. The service uses the new ones within a minute."
    if left_s <= 0:
        return advise(Severity.DEGRADED, "The TLS certificate has expired. Clients refuse to connect.", do, "expired")
    return advise(Severity.INFO, "The TLS certificate expires in {left_s}.", do, left_s=left_s)


def clock_not_synchronised(facts: Facts) -> Advice | None:
    if facts.reading.system.clock_synchronised is not False:
        return None
    return Advice(
        Severity.INFO,
        "The clock is not synchronised. Times in logs and history may be wrong.",
        "Allow access to an NTP server (UDP port 123), or add a battery-backed clock module.",
    )
