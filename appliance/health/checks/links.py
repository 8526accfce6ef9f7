"""Checks of the links to other systems: MQTT broker, webhooks."""

from __future__ import annotations

from appliance.health.facts import Facts
from appliance.health.findings import Advice, advise
from appliance.values import Severity


def mqtt_disconnected(facts: Facts) -> Advice | None:
    if facts.notices.mqtt_problem is None:
        return None
    return advise(
        Severity.DEGRADED,
        "No connection to the MQTT broker {problem}",
        "Check that the broker runs and that host, port, tls, username and password in [mqtt] are right. Detection "
        "continues; the newest events are kept and sent later.",
        problem=facts.notices.mqtt_problem,
    )


def webhook_failing(facts: Facts) -> Advice | None:
    if facts.notices.webhook_problem is None:
        return None
    return advise(
        Severity.DEGRADED,
        "A webhook's receiver does not accept events. {problem}",
        "Check that the receiver runs and that url and secret in [webhooks] are right. Detection continues; the newest "
        "events are kept and sent later.",
        problem=facts.notices.webhook_problem,
    )
