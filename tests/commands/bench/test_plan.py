"""Options of `appliance bench`."""

from __future__ import annotations

import pytest

from appliance.commands.bench.plan import LADDER, Plan, make_plan
from appliance.errors import ConfigError


def test_the_default_is_the_ladder_and_the_side_of_the_service() -> None:
    assert make_plan() == Plan(LADDER, 5.0, 0.0)
    assert make_plan(usual_side=480).sides == (640, 512, 480, 416, 320, 256)


def test_sides_are_sorted_and_unique() -> None:
    assert make_plan(sides="256, 640,256", usual_side=480).sides == (640, 256)


@pytest.mark.parametrize(("soak", "seconds"), [("30m", 1800.0), ("90s", 90.0), ("1h", 3600.0), ("", 0.0)])
def test_a_soak_duration_needs_a_unit(soak: str, seconds: float) -> None:
    assert make_plan(soak=soak).soak_s == seconds


@pytest.mark.parametrize(
    "wrong",
    [
        {"soak": "30"}, {"soak": "m"}, {"soak": "-5m"}, {"soak": "0s"}, {"soak": "999999h"}, {"soak": "1.5h"},
        {"seconds": "0"}, {"seconds": "-1"}, {"seconds": "nan"}, {"seconds": "inf"}, {"seconds": "five"},
        {"sides": ","}, {"sides": "640,"}, {"sides": "32"}, {"sides": "4096"}, {"sides": "big"},
    ],
    ids=str,
)  # fmt: skip
def test_an_invalid_option_is_answered_with_an_example(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="for example"):
        make_plan(**wrong)  # type: ignore[arg-type]  # all values are strings
