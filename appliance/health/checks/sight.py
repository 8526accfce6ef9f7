"""Checks of detection itself: model, engine, self-test."""

from __future__ import annotations

from appliance.durations import in_words
from appliance.health.facts import Facts
from appliance.health.findings import Advice
from appliance.values import Severity


def model_missing(facts: Facts) -> Advice | None:
    if facts.model_error is None:
        return None
    return Advice(
        Severity.CRITICAL,
        f"Detection is stopped: no working model. {facts.model_error}",
        "Run `appliance model fetch --force` on the device, or set model.name. Then restart the service.",
    )


def model_not_activated(facts: Facts) -> Advice | None:
    if facts.notices.activation_error is None:
        return None
    return Advice(
        Severity.DEGRADED,
        f"The model {facts.notices.activation_error}.",
        "The previous model is still in use. Run `appliance model verify`, then activate the model again. To dismiss "
        "this message, activate the model in use.",
    )


def engine_stand_in(facts: Facts) -> Advice | None:
    why, problem = facts.notices.engine_stand_in, facts.notices.engine_problem
    if why is None:
        return None
    if problem is None:
        return Advice(
            Severity.DEGRADED,
            f"{why}. A slower engine is running in the meantime.",
            "No action needed: the engine is being built, which takes several minutes. The service switches to it when "
            "it is ready.",
        )
    if facts.notices.engine_built:
        return Advice(
            Severity.DEGRADED,
            f"{why}. The engine has been built since then but is not in use: {problem}. A slower engine is running.",
            "Restart the service to use the new engine. If the self-test then fails, set engine.kind to openvino.",
        )
    return Advice(
        Severity.DEGRADED,
        f"{why}. A slower engine is running: {problem}.",
        "Fix this, then restart the service to try again. Or set engine.kind to openvino.",
    )


def canary_failed(facts: Facts) -> Advice | None:
    canary = facts.canary
    if facts.model_error is not None or canary.at_s is None or canary.failures == 0:
        return None
    return Advice(
        Severity.DEGRADED if canary.proved and canary.failures < 3 else Severity.CRITICAL,
        f"Self-test failed: {canary.message}.",
        "Restart the service. If this comes back, run `appliance doctor`, then `appliance model fetch --force`.",
    )


def engine_failing(facts: Facts) -> Advice | None:
    if facts.engine_failures < 3:
        return None
    return Advice(
        Severity.CRITICAL,
        f"The last {facts.engine_failures} inferences failed.",
        "Restart the service. For the cause, run `journalctl -u appliance`.",
    )


def engine_stuck(facts: Facts) -> Advice | None:
    if facts.recent.engine_still_s < facts.thresholds.engine_deadline_s:
        return None
    return Advice(
        Severity.CRITICAL,
        f"Inference hung: no result for {in_words(facts.recent.engine_still_s)}.",
        "Restart the service. If this comes back, reboot the device and check the kernel log (`journalctl -k`) for "
        "hardware errors.",
    )
