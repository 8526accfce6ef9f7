"""Checks of the links to other systems: MQTT broker, webhooks."""

from __future__ import annotations

from appliance.health.facts import Facts
from appliance.health.finding import Severity
from appliance.health.findings import Advice, advise


def mqtt_disconnected(facts: Facts) -> Advice | None:
    lost = facts.notices.mqtt_problem
    if lost is None:
        return None
    what = "No connection to the MQTT broker {broker}: {problem}."
    do = (
        "Check that the broker runs and that host, port, tls, username and password in [mqtt] are right. Detection "
        "continues; the newest events are kept and sent later."
    )
    broker, reason, problem = lost.name, lost.code, lost.text
    if not lost.detail:
        return advise(Severity.DEGRADED, what, do, broker=broker, reason=reason, problem=problem)
    return advise(
        Severity.DEGRADED, what, do, "detail", broker=broker, reason=reason, problem=problem, detail=lost.detail
    )


def webhook_failing(facts: Facts) -> Advice | None:
    failing = facts.notices.webhook_problems
    if not failing:
        return None
    what = "A webhook's receiver does not accept events. {problem}"
    do = (
        "Check that the receiver runs and that url and secret in [webhooks] are right. Detection continues; the newest "
        "events are kept and sent later."
    )
    first, names = failing[0], tuple(one.name for one in failing)
    problem = "; ".join(f"{one.name}: {one.text}" for one in failing)
    if not first.detail:
        return advise(Severity.DEGRADED, what, do, receivers=names, reason=first.code, problem=problem)
    return advise(
        Severity.DEGRADED, what, do, "detail", receivers=names, reason=first.code, problem=problem, detail=first.detail
    )
