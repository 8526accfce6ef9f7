"""Checks of updates: what could be installed, and what was undone."""

from __future__ import annotations

from appliance.health.facts import Facts
from appliance.health.finding import Severity
from appliance.health.findings import Advice, advise

STALE_DAYS = 60


def update_undone(facts: Facts) -> Advice | None:
    update = facts.notices.update
    if not update.undone:
        return None
    if update.undone_by_a_person:
        return advise(
            Severity.INFO,
            "A person went back from release {release}.",
            "It is not installed again by itself; to install it once more, run `sudo appliance update install`.",
            "wanted",
            release=update.undone,
        )
    return advise(
        Severity.DEGRADED,
        "Release {release} was undone: {reason}.",
        "Report this to your vendor or release operator. It is not installed again by itself; to try once more, run "
        "`sudo appliance update install`.",
        release=update.undone,
        reason=update.why or "the reason is not known",
    )


def update_no_root(facts: Facts) -> Advice | None:
    if not facts.notices.update.no_root:
        return None
    return Advice(
        Severity.DEGRADED,
        "Updates cannot be verified: the operator's root of trust is missing.",
        "Copy the operator's root.json to /etc/appliance-update/root.json, or empty update.source if no updates are "
        "wanted.",
    )


def update_refused(facts: Facts) -> Advice | None:
    refused = facts.notices.update.refused
    if refused is None:
        return None
    return advise(
        Severity.DEGRADED,
        "The last update was not installed: {reason}.",
        "If that does not explain it, report it to your vendor or release operator: somebody may have changed the "
        "files. To try again, run `sudo appliance update check`.",
        reason=refused.text.rstrip("."),
        cause=refused.code,
    )


def update_available(facts: Facts) -> Advice | None:
    available = facts.notices.update.available
    if not available:
        return None
    return advise(
        Severity.INFO,
        "Release {release} is available.",
        "Install it with `sudo appliance update install`, or set update.automatic = true.",
        release=available,
    )


def update_stale(facts: Facts) -> Advice | None:
    if reason := facts.notices.update.never_reached:
        return advise(
            Severity.INFO,
            "This device has never reached update.source: {reason}.",
            "Check the address, and whether this site needs update.proxy. Then run `sudo appliance update check`. A "
            "site without a network needs an update from a USB stick.",
            "never",
            reason=reason.rstrip("."),
        )
    days = facts.notices.update.newest_age_days
    if days is None or days < STALE_DAYS:
        return None
    return advise(
        Severity.INFO,
        "The newest release that this device knows of is {days} days old.",
        "Check that the device reaches update.source: `sudo appliance update check`. A site without a network needs an "
        "update from a USB stick.",
        days=int(days),
    )
