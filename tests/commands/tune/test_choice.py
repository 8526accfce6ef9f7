"""The choice among measured models."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.commands.tune.choice import LEAST_AGREEMENT, LEAST_GAIN, Candidate, choose

FLOAT = Candidate("openvino", "yard", 20.0, 50.0)


def int8(cpu_ms: float, agreement: float | None = 97.0) -> Candidate:
    return Candidate("openvino", "yard-int8", cpu_ms, 60.0, agreement)


@pytest.mark.parametrize(
    ("other", "best"),
    [
        (int8(10.0), "yard-int8"),
        (int8(19.5), "yard"),  # not worth a change
        (int8(30.0), "yard"),
        (int8(10.0, LEAST_AGREEMENT - 0.1), "yard"),
        (int8(10.0, None), "yard-int8"),  # its accuracy was checked when it was made
    ],
)
def test_int8_is_chosen_where_it_is_faster_and_detects_the_same(other: Candidate, best: str) -> None:
    choice = choose([FLOAT, other], "openvino", "yard")
    assert choice is not None
    assert choice.best.model == best


def test_int8_that_is_in_use_and_slower_here_is_left() -> None:
    choice = choose([FLOAT, int8(25.0)], "openvino", "yard-int8")
    assert choice is not None
    assert choice.best == FLOAT
    assert choice.why == "takes 20.0 ms of CPU time a frame instead of 25.0"


def test_without_candidates_nothing_is_chosen() -> None:
    assert choose([], "openvino", "yard") is None


candidates = st.builds(
    Candidate,
    st.sampled_from(("openvino", "mnn")),
    st.sampled_from(("yard", "yard-int8")),
    st.floats(0.1, 1000),
    st.floats(0.1, 1000),
    st.none() | st.floats(0, 100),
)


@given(st.lists(candidates, max_size=6, unique_by=lambda one: (one.engine, one.model)))
def test_nothing_usable_is_clearly_better_than_the_choice(measured: list[Candidate]) -> None:
    choice = choose(measured, "openvino", "yard")
    usable = [one for one in measured if one.agreement is None or one.agreement >= LEAST_AGREEMENT]
    if choice is None:
        assert usable == []
        return
    assert choice.best in usable
    assert min(one.cpu_ms for one in usable) >= choice.best.cpu_ms * (1 - LEAST_GAIN)
