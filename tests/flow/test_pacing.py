"""Cameras that keep to their limits, simulated: no capacity is lost, no frame is skipped, and limits do not flutter."""

from __future__ import annotations

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from appliance.flow.cameras import CameraPolicy
from appliance.values import Limits
from tests.flow.pacing import SimulatedCamera, Simulation


def equal(count: int, **habits: object) -> dict[str, SimulatedCamera]:
    return {f"cam{number}": SimulatedCamera(**habits) for number in range(count)}  # type: ignore[arg-type]


def hot(duty: float, side: int = 640, in_flight: int = 8) -> Limits:
    return Limits(side, 0.0, in_flight, duty=duty, reason="temperature")


@pytest.mark.parametrize("closed", [False, True], ids=["by the clock", "after the answer"])
@pytest.mark.parametrize("reported_s", [0.04, 0.05, 0.06])
def test_four_cameras_get_95_percent_of_the_peak_from_ten_seconds_on(reported_s: float, closed: bool) -> None:
    """Also if the device's own measurement of a frame's cost is wrong by a fifth."""
    site = Simulation(equal(4, closed=closed), reported_s=reported_s).run(40)
    assert site.part(10, 40) >= 0.95
    assert site.count_skipped() == 0


@pytest.mark.parametrize(
    ("cameras", "slots"), [(1, 1), (1, 2), (3, 2), (16, 2), (4, 4)], ids=lambda number: str(number)
)
def test_any_number_of_cameras_gets_most_of_the_peak(cameras: int, slots: int) -> None:
    site = Simulation(equal(cameras), slots=slots).run(40)
    assert site.part(10, 40) >= 0.93
    assert site.count_skipped() == 0


def test_cameras_of_unlike_cost_share_the_engine_and_lose_nothing() -> None:
    costs = {"small": 0.2, "a": 1.0, "b": 1.0, "large": 3.0}
    site = Simulation({name: SimulatedCamera(cost=cost) for name, cost in costs.items()}).run(40)
    used = {name: site.fps(10, 40, name) * cost * site.seconds / site.slots for name, cost in costs.items()}
    assert sum(used.values()) >= 0.93
    assert all(part == pytest.approx(0.24, abs=0.03) for part in used.values())
    assert site.count_skipped() == 0


def test_what_slow_cameras_leave_goes_to_one_that_can_use_it() -> None:
    cameras = equal(3, at_most_fps=1.0) | {"fast": SimulatedCamera()}
    site = Simulation(cameras).run(60)
    assert site.part(30, 60) >= 0.9
    assert site.count_skipped() == 0


def test_slow_cameras_that_become_fast_lose_no_frame() -> None:
    """They may use their share at any time, although another camera was given it meanwhile."""
    cameras = equal(3, at_most_fps=1.0, faster_from_s=30.0) | {"fast": SimulatedCamera()}
    site = Simulation(cameras).run(60)
    assert site.count_skipped() == 0
    rates = [site.fps(40, 60, name) for name in cameras]
    assert min(rates) > 0.8 * max(rates)


def test_weights_count() -> None:
    cameras = {"one": SimulatedCamera(), "four": SimulatedCamera(policy=CameraPolicy(weight=4.0))}
    site = Simulation(cameras).run(40)
    assert site.fps(10, 40, "four") / site.fps(10, 40, "one") == pytest.approx(4, rel=0.1)
    assert site.count_skipped() == 0


def test_a_device_that_stalls_delays_frames_and_loses_none() -> None:
    stalls = tuple((10.0 + 5 * number, 10.15 + 5 * number) for number in range(8))
    site = Simulation(equal(4), stalls=stalls).run(50)
    assert site.count_skipped() == 0


def test_a_device_that_becomes_slower_makes_cameras_slower() -> None:
    site = Simulation(equal(4), slower=lambda at_s: 1.3 if 20 < at_s < 40 else 1.0).run(60)
    assert site.count_skipped() == 0
    assert site.part(25, 40) * 1.3 >= 0.93
    assert site.part(45, 60) >= 0.93


def test_a_flooding_camera_takes_nothing_from_those_that_obey() -> None:
    cameras = equal(3) | {"flood": SimulatedCamera(floods=True)}
    site = Simulation(cameras).run(40)
    assert site.count_skipped() == 0
    assert all(site.fps(10, 40, f"cam{number}") >= 0.2 * 40 for number in range(3))


@pytest.mark.parametrize("closed", [False, True], ids=["by the clock", "after the answer"])
def test_no_frame_is_skipped_while_the_governor_acts(closed: bool) -> None:
    """Down in steps to a tenth, to one frame in flight, and back to full."""
    steps = (hot(0.5), hot(0.3, 512), hot(0.1, 416), hot(0.6, 416, 1), hot(0.8, 512), Limits(640, 0.0, 8))
    changes = tuple((15.0 + 8 * number, limits) for number, limits in enumerate(steps))
    site = Simulation(equal(4, closed=closed, hears_s=0.2), changes=changes, sides={512: 0.6, 416: 0.4}).run(80)
    assert site.count_skipped() == 0
    assert site.part(65, 80) >= 0.93


@given(
    st.lists(
        st.tuples(
            st.floats(0.5, 6), st.sampled_from([0.05, 0.1, 0.3, 0.6, 0.9, 1.0]), st.sampled_from([640, 512, 416]),
            st.sampled_from([1, 8]),
        ),
        min_size=1, max_size=6,
    ),
    st.integers(1, 5),
    st.integers(0, 1000),
)  # fmt: skip
@settings(max_examples=15, deadline=None, phases=[Phase.explicit, Phase.generate])
def test_no_frame_is_skipped_whatever_the_governor_does(
    steps: list[tuple[float, float, int, int]], cameras: int, seed: int
) -> None:
    changes, at_s = [], 12.0
    for gap_s, duty, side, in_flight in steps:
        changes.append((at_s, hot(duty, side, in_flight)))
        at_s += gap_s
    site = Simulation(equal(cameras), changes=tuple(changes), sides={512: 0.6, 416: 0.4}, seed=seed).run(at_s + 5)
    assert site.count_skipped() == 0


def test_limits_do_not_flutter() -> None:
    site = Simulation(equal(4)).run(300)
    assert sum(at_s > 60 for at_s, _, _ in site.announced) / 4 <= 12


@pytest.mark.parametrize("duty", [0.6, 0.2])
def test_the_engine_is_as_busy_as_the_duty_allows_while_cameras_send_all_that_they_may(duty: float) -> None:
    site = Simulation(equal(4), limits=hot(duty)).run(60)
    site.pace.take_busy()
    site.run_on(30)
    busy = site.pace.take_busy()
    assert busy is not None
    assert 0.75 * duty < busy < 1.1 * duty
    assert site.pace.take_busy() is None
