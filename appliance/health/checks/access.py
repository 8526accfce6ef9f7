"""Checks of who gets in."""

from __future__ import annotations

from appliance.health.facts import Facts
from appliance.health.finding import Severity
from appliance.health.findings import Advice, advise


def auth_off(facts: Facts) -> Advice | None:
    if not facts.notices.access.open_to_all:
        return None
    return Advice(
        Severity.DEGRADED,
        "Anyone on the network can see the pictures and push frames: access.auth is off.",
        'Set access.auth = "on", and give each client a token: `sudo appliance token add NAME --role ROLE`.',
    )


def tokens_unusable(facts: Facts) -> Advice | None:
    problem = facts.notices.access.tokens_problem
    if problem is None:
        return None
    return advise(
        Severity.CRITICAL,
        "Nobody can sign in from another machine: {problem}.",
        "On the device, run `sudo appliance token add NAME --role operator`. If that fails, its message says what to "
        "repair.",
        problem=problem,
    )


def token_guessing(facts: Facts) -> Advice | None:
    access = facts.notices.access
    if not access.guesses:
        return None
    return advise(
        Severity.DEGRADED,
        "{count} wrong tokens in the last 10 minutes, most of them from {address}.",
        "If that is one of your cameras, correct its token. Otherwise find that machine and disconnect it. The device "
        "slows it down, and others are not affected.",
        count=access.guesses,
        address=access.guessed_from or "this device",
    )


def token_short(facts: Facts) -> Advice | None:
    settings = facts.notices.access.short
    if not settings:
        return None
    return advise(
        Severity.INFO,
        "Easy to guess, with fewer than 12 characters: the tokens in {settings}.",
        "Make each longer: `openssl rand -hex 16` prints a good one. Or remove it, and use `sudo appliance token add`.",
        settings=settings,
    )


def name_taken(facts: Facts) -> Advice | None:
    contested = facts.notices.access.contested
    if not contested:
        return None
    return advise(
        Severity.DEGRADED,
        "Several cameras use the same name: {cameras}.",
        "Give each camera a name of its own. If one of them is a stranger, replace the token: "
        "`sudo appliance token rotate NAME`.",
        cameras=contested,
    )


def pairing_waiting(facts: Facts) -> Advice | None:
    waiting = facts.notices.access.waiting
    if not waiting:
        return None
    return advise(
        Severity.INFO,
        "Waiting for approval: {cameras}.",
        "Compare the code with the one that the camera shows. To let it in, run `sudo appliance token approve NAME`; "
        "to refuse it, `sudo appliance token refuse NAME`.",
        cameras=waiting,
    )
