"""Each finding appears when it is true, goes when it is not, and says what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.health.findings import Facts, examine, status_of
from appliance.readings import Memory, Reading, Storage, Thermal
from appliance.values import CanaryState, Finding, Limits, Severity

GB = 1_000_000_000


def cool_but(temp_c: float | None = 50, available_bytes: int = GB, free_bytes: int = GB) -> Reading:
    return Reading(
        0,
        Thermal(soc_temp_c=temp_c),
        memory=Memory(available_bytes=available_bytes),
        storage=Storage(free_bytes=free_bytes),
    )


COOL = cool_but()
PROVED = CanaryState(proved=True, message="fine", at_s=1.0)
FULL = Limits(640, 0.0, 8)
WELL = Facts(
    model_error=None,
    canary=PROVED,
    engine_failures=0,
    reading=COOL,
    limits=FULL,
    critical_temp_c=84,
    min_available_bytes=100_000_000,
)
HOT = replace(FULL, reason="temperature")

APPEARS = {
    "no_model": (replace(WELL, model_error="it is gone"), "model_missing", "critical"),
    "never_proved": (replace(WELL, canary=CanaryState(at_s=1.0, failures=1)), "canary_failed", "critical"),
    "not_proved_again": (replace(WELL, canary=replace(PROVED, failures=2)), "canary_failed", "degraded"),
    "blind": (replace(WELL, canary=replace(PROVED, failures=3)), "canary_failed", "critical"),
    "engine": (replace(WELL, engine_failures=3), "engine_failing", "critical"),
    "critical": (replace(WELL, reading=cool_but(temp_c=84)), "too_hot", "critical"),
    "hot": (replace(WELL, reading=cool_but(temp_c=80), limits=HOT), "hot", "degraded"),
    "hot_and_silent": (replace(WELL, reading=cool_but(temp_c=None), limits=HOT), "hot", "degraded"),
    "memory": (replace(WELL, reading=cool_but(available_bytes=99_999_999)), "memory_low", "degraded"),
    "disk": (replace(WELL, reading=cool_but(free_bytes=99_999_999)), "disk_low", "degraded"),
}


@pytest.mark.parametrize("name", APPEARS)
def test_a_finding_appears_with_its_severity_and_with_what_to_do(name: str) -> None:
    facts, code, severity = APPEARS[name]
    (finding,) = examine(facts)
    assert (finding.code, finding.severity.value) == (code, severity)
    assert status_of([finding]) == severity
    assert finding.what
    assert finding.do.endswith(".")


STAYS_AWAY = {
    "well": WELL,
    "not_yet_tried": replace(WELL, canary=CanaryState()),
    "two_failures": replace(WELL, engine_failures=2),
    "just_below_critical": replace(WELL, reading=cool_but(temp_c=83.9)),
    "short_of_memory_is_no_heat": replace(WELL, limits=replace(FULL, reason="memory")),
    "just_enough": replace(WELL, reading=cool_but(available_bytes=100_000_000, free_bytes=100_000_000)),
    "nothing_is_known": replace(WELL, reading=None),
    "no_sensor_works": replace(WELL, reading=Reading(at_s=0)),
}


@pytest.mark.parametrize("name", STAYS_AWAY)
def test_what_is_well_is_no_finding(name: str) -> None:
    assert examine(STAYS_AWAY[name]) == ()
    assert status_of(()) == "ok"


def test_a_box_without_a_model_is_not_blamed_for_its_canary_as_well() -> None:
    facts = replace(WELL, model_error="it is gone", canary=CanaryState(at_s=1.0, failures=9))
    assert [finding.code for finding in examine(facts)] == ["model_missing"]


def test_the_worst_comes_first() -> None:
    facts = replace(WELL, engine_failures=5, reading=cool_but(available_bytes=1, free_bytes=1, temp_c=90))
    severities = [finding.severity for finding in examine(facts)]
    assert severities == sorted(severities, key=lambda severity: -list(Severity).index(severity))
    assert severities[0] is Severity.CRITICAL
    assert len(severities) == 4


@given(st.lists(st.sampled_from(Severity), max_size=5))
def test_the_state_of_the_box_is_its_worst_finding(severities: list[Severity]) -> None:
    status = status_of(Finding("x", severity, "", "") for severity in severities)
    if Severity.CRITICAL in severities:
        assert status == "critical"
    elif Severity.DEGRADED in severities:
        assert status == "degraded"
    else:
        assert status == "ok"
