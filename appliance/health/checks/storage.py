"""Checks of the card or disk, and of the files that the service keeps on it."""

from __future__ import annotations

from appliance.health.facts import Facts
from appliance.health.finding import Severity
from appliance.health.findings import Advice, advise

LEAST_FREE_BYTES = 100_000_000
"""Less free space is a finding here and fails `appliance doctor`."""
WORN_PERCENT = 80
"""A card that has used this part of its rated life is a finding, here and in `appliance doctor`."""
_DAY_S = 86_400.0


def disk_low(facts: Facts) -> Advice | None:
    free = facts.reading.storage.free_bytes
    if free is None or not facts.below("disk_low", free, LEAST_FREE_BYTES, 1.2 * LEAST_FREE_BYTES):
        return None
    return advise(
        Severity.DEGRADED,
        "Low disk space: {free_bytes} free.",
        "Delete files you do not need. `sudo journalctl --vacuum-size=50M` removes old logs.",
        free_bytes=free,
    )


def disk_read_only(facts: Facts) -> Advice | None:
    if not facts.reading.storage.read_only:
        return None
    return Advice(
        Severity.DEGRADED,
        "The disk is read-only. Updates, models and history cannot be saved.",
        "If this is not intended, the card may be failing: back it up and replace it.",
    )


def card_worn(facts: Facts) -> Advice | None:
    percent = facts.reading.storage.wear_percent
    if percent is None or percent < WORN_PERCENT:
        return None
    return advise(
        Severity.DEGRADED,
        "The card has used {wear_percent} of its rated life.",
        "Replace the card at the next visit. An industrial-grade card lasts longer.",
        wear_percent=percent,
    )


def state_set_aside(facts: Facts) -> Advice | None:
    history = facts.history
    if history.set_aside is None or history.set_aside_for_s >= _DAY_S:
        return None
    return advise(
        Severity.DEGRADED,
        "The history file was damaged. It was renamed to {file}, and a new one was started.",
        "If this happens again, the card may be failing: replace it. This message disappears after a day.",
        file=history.set_aside,
    )


def state_not_kept(facts: Facts) -> Advice | None:
    history = facts.history
    if history.problem is None or history.taken:
        return None
    return advise(
        Severity.DEGRADED,
        "The history is not saved: {reason}. It is lost at the next restart.",
        "Free some disk space, or set state.dir to a folder that the service can write to.",
        reason=history.problem,
    )


def state_taken(facts: Facts) -> Advice | None:
    if not facts.history.taken:
        return None
    return advise(
        Severity.DEGRADED,
        "The history is not saved: {reason}.",
        "Stop the other service, or set state.dir to a separate folder for this one. Then restart this service.",
        reason=facts.history.problem or "another service uses the state folder",
    )
