"""The card or disk, and what the service keeps on it."""

from __future__ import annotations

from appliance.health.facts import Facts
from appliance.health.findings import Advice
from appliance.health.words import megabytes
from appliance.values import Severity

LEAST_FREE_BYTES = 100_000_000
"""Less free space is a finding here and fails `appliance doctor`."""
WORN_PERCENT = 80
"""A card that has used this part of its rated life is a finding, here and in `appliance doctor`."""
_DAY_S = 86_400.0


def disk_low(facts: Facts) -> Advice | None:
    free = facts.reading.storage.free_bytes
    if free is None or not facts.below("disk_low", free, LEAST_FREE_BYTES, 1.2 * LEAST_FREE_BYTES):
        return None
    return Advice(
        Severity.DEGRADED,
        f"Only {megabytes(free)} of disk are free.",
        "Delete what is not needed; `sudo journalctl --vacuum-size=50M` frees old logs.",
    )


def disk_read_only(facts: Facts) -> Advice | None:
    if not facts.reading.storage.read_only:
        return None
    return Advice(
        Severity.DEGRADED,
        "The disk can only be read; updates, models and history cannot be written.",
        "If that is not meant so, the card may be dying: back it up and replace it.",
    )


def card_worn(facts: Facts) -> Advice | None:
    percent = facts.reading.storage.wear_percent
    if percent is None or percent < WORN_PERCENT:
        return None
    return Advice(
        Severity.DEGRADED,
        f"The card has used up {percent:.0f} % of its life.",
        "Replace it at the next visit; an industrial card lasts longer.",
    )


def state_set_aside(facts: Facts) -> Advice | None:
    kept = facts.kept
    if kept.set_aside is None or kept.set_aside_for_s >= _DAY_S:
        return None
    return Advice(
        Severity.DEGRADED,
        f"A file of the service could not be read; it was kept as {kept.set_aside}, and a new one begun.",
        "If it happens again, the card may be dying: replace it. This note goes after a day.",
    )


def state_not_kept(facts: Facts) -> Advice | None:
    kept = facts.kept
    if kept.problem is None or kept.taken:
        return None
    return Advice(
        Severity.DEGRADED,
        f"The history is not saved: {kept.problem}. It works on, but a restart forgets it.",
        "Free some disk space, or set state.dir to a folder that the service may write.",
    )


def state_taken(facts: Facts) -> Advice | None:
    if not facts.kept.taken:
        return None
    return Advice(
        Severity.DEGRADED,
        f"The history is not saved: {facts.kept.problem}.",
        "Stop the other service, or give this one a folder of its own with state.dir; then restart it.",
    )
