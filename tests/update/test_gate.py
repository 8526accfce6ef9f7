"""The health gate keeps a release that is as good as the older one, and names what is wrong with any other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.update.gate import (
    IN_A_ROW,
    READY_WITHIN_S,
    Baseline,
    Judgement,
    Observation,
    TrialState,
    Verdict,
    judge,
    undisturbed_ms,
)

_AFTER_S, _EVERY_S = 600.0, 10.0
_SIGN = frozenset({"stop sign"})
_BEFORE = Baseline(seen=_SIGN, answer_ms=80.0, temp_c=60.0, critical=frozenset({"disk"}), cameras=3, gateway=True)
_GOOD = Observation(ready=True, seen=_SIGN, answer_ms=85.0, temp_c=61.0, cameras=3, gateway=True)


def _run(*observations: Observation, baseline: Baseline = _BEFORE) -> tuple[Judgement, float]:
    """The judgement on a release that is observed so, the last observation again and again, and when it came."""
    state, at_s = TrialState(), 0.0
    while True:
        index = min(int(at_s / _EVERY_S), len(observations) - 1)
        state, judgement = judge(state, baseline, observations[index], at_s, _AFTER_S)
        if judgement.verdict is not Verdict.WAIT:
            return judgement, at_s
        at_s += _EVERY_S
        assert at_s < 10 * _AFTER_S, "no verdict"


def test_a_good_release_is_kept_after_its_time() -> None:
    assert _run(_GOOD) == (Judgement(Verdict.KEEP), _AFTER_S)


def test_the_time_begins_when_it_is_ready() -> None:
    assert _run(*[Observation()] * 12, _GOOD) == (Judgement(Verdict.KEEP), _AFTER_S + 120)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (replace(_GOOD, seen=frozenset()), "it does not detect stop sign in the test picture"),
        (replace(_GOOD, seen=frozenset({"cat"})), "it does not detect stop sign"),
        (replace(_GOOD, seen=None, answer_ms=None), "does not answer frames over the websocket"),
        (replace(_GOOD, critical=frozenset({"engine_failing"})), "it reports engine_failing"),
        (replace(_GOOD, gateway=False), "gateway can no longer be reached"),
        (replace(_GOOD, ready=False), "its self-test fails"),
    ],
)
def test_what_is_wrong_three_times_in_a_row_goes_back(bad: Observation, reason: str) -> None:
    judgement, at_s = _run(_GOOD, bad)
    assert judgement.verdict is Verdict.UNDO
    assert reason in judgement.why
    assert at_s == IN_A_ROW * _EVERY_S
    assert _run(_GOOD, bad, bad, _GOOD)[0].verdict is Verdict.KEEP


def test_one_that_is_never_ready_goes_back() -> None:
    assert _run(Observation()) == (Judgement(Verdict.UNDO, "it was not ready 600 s after its start"), READY_WITHIN_S)


def test_one_that_crashes_after_minutes_goes_back_at_once() -> None:
    judgement, at_s = _run(*[_GOOD] * 30, replace(_GOOD, restarts=1))
    assert judgement == Judgement(Verdict.UNDO, "it crashed: systemd had to start it again")
    assert at_s == 300


def test_a_slow_one_goes_back_with_both_figures() -> None:
    judgement, _ = _run(replace(_GOOD, answer_ms=300.0))
    assert judgement.why == "it is slower: a frame takes 300 ms instead of 80 ms"
    assert _run(replace(_GOOD, answer_ms=190.0))[0].verdict is Verdict.KEEP


def test_other_work_of_the_device_neither_hides_a_slow_release_nor_condemns_a_good_one() -> None:
    busy = [replace(_GOOD, answer_ms=answer_ms) for answer_ms in (90.0, 400.0, 600.0)]
    assert _run(*busy * 20, _GOOD)[0].verdict is Verdict.KEEP
    # Half of the older release's answers came while the update was being unpacked.
    before = replace(_BEFORE, answer_ms=undisturbed_ms([80, 85, 90, 70, 85, 600, 625, 500, 700, 650]))
    slow = [replace(_GOOD, answer_ms=answer_ms) for answer_ms in (780.0, 1100.0)]
    assert _run(*slow * 31, baseline=before)[0].why == "it is slower: a frame takes 780 ms instead of 85 ms"


def test_cameras_frames_are_compared_with_those_of_the_last_hour() -> None:
    before = replace(_BEFORE, hour_ms=100.0)
    slow = replace(_GOOD, frames_ms=300.0)
    assert _run(slow, baseline=before)[0].why == "it is slower: a camera's frame takes 300 ms instead of 100 ms"
    # The test picture is slower, but the cameras' frames are not.
    assert _run(replace(slow, answer_ms=300.0, frames_ms=110.0), baseline=before)[0].verdict is Verdict.KEEP
    # They are as quick as before, but their answers are not.
    late = _run(replace(slow, answer_ms=900.0, frames_ms=110.0), baseline=before)[0]
    assert late.why == "it is slower: a frame takes 900 ms instead of 80 ms"
    # The older release's hour was busy, and so is this one.
    assert _run(slow, baseline=replace(before, hour_ms=280.0))[0].verdict is Verdict.KEEP
    # No camera sends any more: the test picture decides.
    judgement, _ = _run(replace(_GOOD, answer_ms=300.0), baseline=before)
    assert judgement.why == "it is slower: a frame takes 300 ms instead of 80 ms"


def test_without_cameras_the_answers_decide_and_not_the_rows_that_earlier_trials_left() -> None:
    before = replace(_BEFORE, hour_ms=100.0, cameras=0)
    slow = replace(_GOOD, answer_ms=300.0, frames_ms=100.0, cameras=0)
    assert _run(slow, baseline=before)[0].why == "it is slower: a frame takes 300 ms instead of 80 ms"


def test_the_rows_of_the_older_release_do_not_count() -> None:
    before = replace(_BEFORE, hour_ms=100.0, answer_ms=None)
    late = replace(_GOOD, frames_ms=900.0)
    assert _run(late, late, replace(_GOOD, frames_ms=100.0), baseline=before)[0].verdict is Verdict.KEEP


def test_heat_alone_never_goes_back() -> None:
    hot = replace(_GOOD, temp_c=84.0, critical=frozenset({"too_hot"}))
    assert _run(hot)[0].verdict is Verdict.KEEP
    judgement, _ = _run(replace(hot, answer_ms=180.0))
    assert judgement.why.endswith("and hotter: 84 °C instead of 60 °C")


def test_without_its_cameras_it_goes_back_after_twice_the_time() -> None:
    judgement, at_s = _run(replace(_GOOD, cameras=0))
    assert judgement.why == "no camera came back; before, 3 sent frames"
    assert at_s == 2 * _AFTER_S
    assert _run(replace(_GOOD, cameras=0), baseline=replace(_BEFORE, cameras=0))[0].verdict is Verdict.KEEP


def test_what_the_older_release_could_not_do_either_is_no_reason() -> None:
    nothing = Baseline(critical=frozenset({"model_missing"}))
    as_before = Observation(ready=True, critical=frozenset({"model_missing"}), gateway=False)
    assert _run(as_before, baseline=nothing)[0].verdict is Verdict.KEEP


def test_a_release_that_follows_one_that_was_never_ready_is_not_blamed_for_that() -> None:
    never = Baseline(ready=False)
    broken = Observation(critical=frozenset({"model_missing"}))
    assert _run(broken, baseline=never) == (Judgement(Verdict.KEEP), READY_WITHIN_S + _AFTER_S)
    # It is ready for a while, which is better than before.
    assert _run(_GOOD, broken, baseline=never)[0].verdict is Verdict.KEEP
    # A crash is a reason whatever was before.
    assert _run(replace(broken, restarts=1), baseline=never)[0].verdict is Verdict.UNDO


_OBSERVATIONS = st.builds(
    Observation,
    ready=st.booleans(),
    seen=st.sampled_from([None, frozenset[str](), _SIGN]),
    answer_ms=st.none() | st.floats(1, 1000),
    frames_ms=st.none() | st.floats(1, 1000),
    temp_c=st.none() | st.floats(-20, 110),
    critical=st.sampled_from([frozenset[str](), frozenset({"engine_failing"})]),
    restarts=st.integers(0, 1),
    cameras=st.integers(0, 3),
    gateway=st.none() | st.booleans(),
)
_NEVER_READY = st.builds(
    Baseline,
    ready=st.just(False),
    critical=st.sampled_from([frozenset[str](), frozenset({"model_missing"})]),
    gateway=st.none() | st.booleans(),
)


@given(st.lists(_OBSERVATIONS, min_size=1, max_size=100), _NEVER_READY)
def test_after_one_that_was_never_ready_only_a_crash_or_a_lost_network_goes_back(
    observations: list[Observation], before: Baseline
) -> None:
    judgement, _ = _run(*observations, baseline=before)
    assert judgement.verdict is Verdict.KEEP or "crashed" in judgement.why or "gateway" in judgement.why


@given(st.lists(_OBSERVATIONS, min_size=1, max_size=100))
def test_every_trial_ends_with_a_verdict_and_every_return_with_a_reason(observations: list[Observation]) -> None:
    judgement, _ = _run(*observations)
    assert (judgement.verdict is Verdict.UNDO) == bool(judgement.why)
    if judgement.verdict is Verdict.KEEP:
        assert observations[-1].ready or len(observations) > 1
