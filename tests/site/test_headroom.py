"""What a device reports to HAProxy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.site.headroom import Condition, answer


@pytest.mark.parametrize(
    ("condition", "line"),
    [
        (Condition(ready=True), "100% up ready"),
        (Condition(ready=True, duty=0.73), "73% up ready"),
        (Condition(ready=True, duty=0.001), "1% up ready"),
        (Condition(ready=True, closing=True), "drain"),
        (Condition(ready=True, admits=False), "drain"),
        (Condition(ready=True, stuck=True), "down"),
        (Condition(ready=False), "down"),
        (Condition(ready=False, closing=True), "drain"),
    ],
)
def test_the_answer_says_how_much_the_device_can_take(condition: Condition, line: str) -> None:
    assert answer(condition) == line


@pytest.mark.parametrize("cannot", [{"ready": False}, {"stuck": True}, {"closing": True}, {"admits": False}])
def test_a_device_that_takes_no_camera_has_no_headroom(cannot: dict[str, bool]) -> None:
    assert Condition(ready=True, duty=0.73).headroom == 0.73
    assert Condition(**({"ready": True} | cannot), duty=0.73).headroom == 0


@given(st.builds(Condition, ready=st.booleans(), stuck=st.booleans(), admits=st.booleans(), duty=st.floats(0, 1)))
def test_the_answer_is_never_zero_percent(condition: Condition) -> None:
    """HAProxy takes 0 % for a drain, and keeps it until it hears `ready`."""
    line = answer(condition)
    assert line in ("down", "drain") or (line.endswith("% up ready") and 1 <= int(line.split("%")[0]) <= 100)
