"""What audits of the scene gate teach."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.flow.gate_audit import GOAL, LOOSEST, TIGHTEST, GateEvidence, bounds, false_alarm, learn, part_found
from appliance.values import Box, Detection


def person(x: float, confidence: float = 0.9) -> Detection:
    return Detection("person", 0, confidence, Box(x, 0, x + 50, 100))


def audited(
    times: int, evidence: GateEvidence | None = None, found: float = 1.0, strongest: float = 0.5
) -> GateEvidence:
    evidence = evidence or GateEvidence()
    for _ in range(times):
        evidence = learn(evidence, found, strongest, 0.0)
    return evidence


def test_audits_without_a_miss_loosen_the_gate_up_to_its_limit() -> None:
    assert 1 < audited(50).tolerance < LOOSEST
    assert audited(5000).tolerance == LOOSEST


def test_a_miss_tightens_the_gate_so_that_the_same_change_is_noticed() -> None:
    loose = replace(GateEvidence(), tolerance=1.5)
    missed = learn(loose, 0.5, 0.9, 0.0)
    assert missed.tolerance < 0.9
    assert missed.missed == 1


def test_a_miss_without_a_change_tightens_a_little_only() -> None:
    assert learn(GateEvidence(), 0.0, 0.1, 0.0).tolerance == pytest.approx(0.8)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 2)), max_size=200))
def test_the_tolerance_stays_within_its_bounds(audits: list[tuple[float, float]]) -> None:
    evidence = GateEvidence()
    for number, (found, strongest) in enumerate(audits):
        evidence = learn(evidence, found, strongest, float(number))
    assert TIGHTEST <= evidence.tolerance <= LOOSEST
    assert evidence.audits == len(audits)
    recall = evidence.recall
    assert recall is None or 0 <= recall <= 1


def test_a_gate_that_keeps_missing_rests_and_tries_again() -> None:
    evidence = audited(20, found=0.0)
    assert evidence.stats(1.0).rests
    assert not evidence.stats(3600.0).rests


def test_a_rare_miss_does_not_stop_the_gate() -> None:
    evidence = audited(1, audited(300), found=0.0)
    assert not evidence.stats(1.0).rests


def test_recall_comes_with_its_uncertainty() -> None:
    few, many = audited(10).stats(0.0), audited(1000).stats(0.0)
    assert few.recall == many.recall == 1.0
    assert few.recall_at_least is not None
    assert many.recall_at_least is not None
    assert few.recall_at_least < 0.8 < GOAL < many.recall_at_least


@given(st.floats(0, 1), st.floats(1, 1e6))
def test_bounds_enclose_the_measured_part(part: float, count: float) -> None:
    low, high = bounds(part, count)
    assert 0 <= low <= part + 1e-9
    assert part - 1e-9 <= high <= 1


def test_an_object_counts_if_it_is_sure_and_in_its_place() -> None:
    assert part_found([person(0), person(200)], [person(0)], 0.25) == 0.5
    assert part_found([person(0)], [person(40)], 0.25) == 0.0
    assert part_found([person(0, confidence=0.3)], [], 0.25) == 1.0
    assert part_found([], [person(0)], 0.25) == 1.0


def test_false_alarms_loosen_the_gate_up_to_its_limit() -> None:
    evidence = GateEvidence()
    for _ in range(100):
        evidence = false_alarm(evidence, 1.1)
    assert evidence.tolerance == LOOSEST
    assert evidence.audits == 0


def test_a_large_change_says_nothing_about_the_limit() -> None:
    assert false_alarm(GateEvidence(), 5.0) == GateEvidence()
