"""Whether the box sees: model, canary, engine."""

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
        f"There is no working model: {facts.model_error}",
        "Run `appliance model fetch --force` on the box (or set model.name), then restart the service.",
    )


def model_not_activated(facts: Facts) -> Advice | None:
    if facts.notices.activation_error is None:
        return None
    return Advice(
        Severity.DEGRADED,
        f"The model {facts.notices.activation_error}.",
        "Nothing else has changed. Run `appliance model verify` and activate it again; activating the present model "
        "ends this notice.",
    )


def engine_stand_in(facts: Facts) -> Advice | None:
    why, problem = facts.notices.engine_stand_in, facts.notices.engine_problem
    if why is None:
        return None
    if problem is None:
        return Advice(
            Severity.DEGRADED,
            f"{why}. A slower engine serves meanwhile.",
            "Nothing is to be done: the engine is being built, which takes some minutes, and then comes into use.",
        )
    if facts.notices.engine_built:
        return Advice(
            Severity.DEGRADED,
            f"{why}. It has been built since, but not taken into use: {problem}. A slower engine serves.",
            "Restart the service, which then uses what was built. If the box does not see after that, set engine.kind "
            "to openvino.",
        )
    return Advice(
        Severity.DEGRADED,
        f"{why}. A slower engine serves: {problem}.",
        "Mend that, then restart the service, which tries again; or set engine.kind to openvino.",
    )


def canary_failed(facts: Facts) -> Advice | None:
    canary = facts.canary
    if facts.model_error is not None or canary.at_s is None or canary.failures == 0:
        return None
    return Advice(
        Severity.DEGRADED if canary.proved and canary.failures < 3 else Severity.CRITICAL,
        f"The known picture did not come back as it should: {canary.message}.",
        "Restart the service. If it stays, run `appliance doctor` and fetch the model again.",
    )


def engine_failing(facts: Facts) -> Advice | None:
    if facts.engine_failures < 3:
        return None
    return Advice(
        Severity.CRITICAL,
        f"The last {facts.engine_failures} inferences failed.",
        "Restart the service; the log says why they failed.",
    )


def engine_stuck(facts: Facts) -> Advice | None:
    if facts.lately.engine_still_s < facts.thresholds.engine_deadline_s:
        return None
    return Advice(
        Severity.CRITICAL,
        f"The engine has given nothing back for {in_words(facts.lately.engine_still_s)}.",
        "Restart the service. If it happens again, restart the box and look into its log for errors of the chip.",
    )
