"""Checks of detection itself: model, engine, self-test."""

from __future__ import annotations

from appliance.health.facts import Facts
from appliance.health.finding import Severity
from appliance.health.findings import Advice, advise


def model_missing(facts: Facts) -> Advice | None:
    if facts.model_error is None:
        return None
    return advise(
        Severity.CRITICAL,
        "Detection is stopped: no working model. {reason}",
        "Run `sudo appliance model fetch --force` on the device, or set model.name. Then restart the service.",
        reason=facts.model_error.text,
        cause=facts.model_error.code,
    )


def model_not_activated(facts: Facts) -> Advice | None:
    if facts.notices.activation_error is None:
        return None
    return advise(
        Severity.DEGRADED,
        "The model {reason}.",
        "The previous model is still in use. Run `appliance model verify`, then activate the model again. To dismiss "
        "this message, activate the model in use.",
        reason=facts.notices.activation_error.text,
        cause=facts.notices.activation_error.code,
    )


def engine_stand_in(facts: Facts) -> Advice | None:
    why, problem = facts.notices.engine_stand_in, facts.notices.engine_problem
    if why is None:
        return None
    if problem is None:
        return advise(
            Severity.DEGRADED,
            "{reason}. A slower engine is running in the meantime.",
            "No action needed: the engine is being built, which takes several minutes. The service switches to it when "
            "it is ready.",
            "building",
            reason=why,
        )
    if facts.notices.engine_built:
        return advise(
            Severity.DEGRADED,
            "{reason}. The engine has been built since then but is not in use: {problem}. A slower engine is running.",
            "Restart the service to use the new engine. If the self-test then fails, set engine.kind to openvino.",
            "built",
            reason=why,
            problem=problem,
        )
    return advise(
        Severity.DEGRADED,
        "{reason}. A slower engine is running: {problem}.",
        "Fix this, then restart the service to try again. Or set engine.kind to openvino.",
        reason=why,
        problem=problem,
    )


def engine_server_away(facts: Facts) -> Advice | None:
    if facts.notices.server_away is None:
        return None
    return advise(
        Severity.DEGRADED,
        "{reason}. This device infers the frames itself, which is slower.",
        "Check the inference server (engine.server, engine.server_model) and the network to it. This device uses it "
        "again by itself.",
        reason=facts.notices.server_away,
    )


def canary_failed(facts: Facts) -> Advice | None:
    canary = facts.canary
    if facts.model_error is not None or canary.at_s is None or canary.failures == 0:
        return None
    return advise(
        Severity.DEGRADED if canary.proved and canary.failures < 3 else Severity.CRITICAL,
        "Self-test failed: {reason}.",
        "Restart the service. If this comes back, run `sudo appliance doctor`, then "
        "`sudo appliance model fetch --force`.",
        reason=canary.message,
    )


def engine_failing(facts: Facts) -> Advice | None:
    if facts.engine_failures < 3:
        return None
    return advise(
        Severity.CRITICAL,
        "The last {count} inferences failed.",
        "Restart the service. For the cause, run `journalctl -u appliance`.",
        count=facts.engine_failures,
    )


def engine_stuck(facts: Facts) -> Advice | None:
    if facts.recent.engine_still_s < facts.thresholds.engine_deadline_s:
        return None
    return advise(
        Severity.CRITICAL,
        "Inference hung: no result for {still_s}.",
        "Restart the service. If this comes back, reboot the device and check the kernel log (`journalctl -k`) for "
        "hardware errors.",
        still_s=facts.recent.engine_still_s,
    )
