"""Limits are announced at once when they get stricter, and seldom otherwise."""

from __future__ import annotations

import math
import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from appliance.flow.announcements import Announcements, Circumstances, calm_duty
from appliance.values import CameraLimits

COOL, HOT = Circumstances(hot=False, floor_s=0.0), Circumstances(hot=True, floor_s=0.0)


def limits(interval_s: float, reason: str = "temperature", max_side: int = 640) -> CameraLimits:
    return CameraLimits(interval_s, max_side, 80, reason)


def sent(interval_s: float, times: int = 1) -> Announcements:
    """A camera that was sent this interval so many times in a row, the last time at 0 s."""
    camera = Announcements()
    for _ in range(times):
        camera.record(limits(interval_s), 0.0)
    return camera


def is_due(
    announced_s: float, share_s: float, age_s: float, present: Circumstances, *, times: int = 1, max_side: int = 640
) -> bool:
    return sent(announced_s, times).due(limits(share_s, max_side=max_side), age_s, present) is not None


def needing(needed_s: float, *, hot: bool) -> Circumstances:
    return Circumstances(hot, 0.0, needed_s=needed_s)


@given(st.floats(0.01, 100), st.sampled_from([COOL, HOT]))
def test_a_longer_share_is_announced_at_once(announced_s: float, present: Circumstances) -> None:
    assert is_due(announced_s, announced_s * 1.3 + 0.01, 0.0, present)
    assert not is_due(announced_s, announced_s * 1.05, 1e9, present)


@given(st.floats(0.05, 100))
def test_a_shorter_share_is_announced_late(announced_s: float) -> None:
    assert not is_due(announced_s, announced_s * 0.7, 14.0, COOL)
    assert is_due(announced_s, announced_s * 0.7, 15.0, COOL)
    assert not is_due(announced_s, announced_s * 0.7, 359.0, HOT, times=4)
    assert is_due(announced_s, announced_s * 0.7, 360.0, HOT, times=4)
    assert not is_due(announced_s, announced_s * 0.4, 2.0, HOT, times=4)
    assert is_due(announced_s, announced_s * 0.4, 3.0, HOT, times=4)


def test_a_small_improvement_reaches_a_camera_that_was_sent_many_after_half_an_hour() -> None:
    assert not is_due(1.0, 0.92, 1799.0, HOT, times=12)
    assert is_due(1.0, 0.92, 1800.0, HOT, times=12)


@given(st.floats(0.05, 100))
def test_a_camera_that_was_sent_few_limits_hears_of_small_improvements(announced_s: float) -> None:
    assert not is_due(announced_s, announced_s * 0.9, 119.0, HOT)
    assert is_due(announced_s, announced_s * 0.9, 120.0, HOT)
    assert not is_due(announced_s, announced_s * 0.9, 899.0, HOT, times=4)


def test_announcements_become_spare_again_with_time() -> None:
    camera = sent(1.0, times=5)
    assert camera.spare(0.0) == -2
    assert camera.spare(900.0) == 0
    assert camera.spare(1e9) == 3


def test_a_trimmed_duty_in_steady_weather_causes_few_announcements() -> None:
    chance, calm, camera, times = random.Random(1), 1.0, sent(1.0), []
    for second in range(7200):
        calm = calm_duty(calm, 0.8 + 0.1 * math.sin(second / 200) + chance.gauss(0, 0.02), 1.0)
        due = camera.due(limits(1 / calm), float(second), HOT)
        if due is not None:
            camera.record(due, float(second))
            times.append(second)
    assert sum(second >= 3600 for second in times) <= 12


@given(st.floats(0.01, 0.99), st.floats(0.01, 1.0), st.floats(0.0, 1e4))
def test_the_calm_duty_lies_between_what_it_was_and_what_the_governor_asks(
    calm: float, duty: float, passed_s: float
) -> None:
    after = calm_duty(calm, duty, passed_s)
    assert min(calm, duty) - 1e-9 <= after <= max(calm, duty) + 1e-9
    if calm > 0.4 and (duty < 0.9 * calm or duty > 1.3 * calm):
        assert after == duty  # a burst of another program's load, and its end


def test_what_is_less_heat_than_a_sensor_shows_is_not_announced() -> None:
    little = replace(HOT, duty=0.05)
    assert not is_due(1.0, 1.5, 0.0, little)
    assert is_due(1.0, 1.7, 0.0, little)
    assert calm_duty(0.05, 0.04, 1.0) > 0.049


def test_a_camera_that_needs_less_than_it_may_need_not_hear_of_a_change() -> None:
    assert not is_due(0.5, 0.9, 0.0, needing(1.0, hot=True))
    assert is_due(0.5, 1.1, 0.0, needing(1.0, hot=True))
    assert is_due(0.5, 0.9, 0.0, HOT)
    assert is_due(0.5, 0.9, 0.0, needing(1.0, hot=False))


def test_found_capacity_is_announced_to_cameras_of_a_cool_device() -> None:
    assert is_due(1.0, 0.97, 0.0, Circumstances(hot=False, floor_s=0.0, trend=1))
    assert not is_due(1.0, 0.97, 0.0, Circumstances(hot=True, floor_s=0.0, trend=1))
    assert is_due(1.0, 1.03, 0.0, Circumstances(hot=True, floor_s=0.0, trend=-1))


def test_another_size_is_announced_at_once_and_a_reason_only_when_it_has_ended() -> None:
    assert is_due(1.0, 1.0, 0.0, HOT, max_side=512)
    camera = sent(1.0)
    assert camera.due(limits(1.0, "memory"), 0.0, HOT) is None
    over = limits(1.0, "normal")
    assert camera.due(over, 0.0, COOL) == over


def test_a_hot_device_announces_headroom_and_a_cool_one_gives_it_back() -> None:
    camera = sent(2.0)
    announced = camera.due(limits(1.0), 130.0, Circumstances(hot=True, floor_s=0.1))
    assert announced == limits(1.02)
    assert sent(0.5).due(limits(1.0), 0.0, Circumstances(hot=True, floor_s=1.0)) == limits(1.0)  # its own minimum
    camera.record(announced, 0.0)
    assert camera.due(limits(1.0), 299.0, COOL) is None
    assert camera.due(limits(1.0), 301.0, COOL) == limits(1.0)


def test_nothing_is_due_for_a_camera_that_was_never_sent_limits() -> None:
    assert Announcements().due(limits(1.0), 0.0, COOL) is None


def test_little_of_the_engines_time_is_announced_late_to_a_camera_that_was_sent_many() -> None:
    little = Circumstances(hot=True, floor_s=0.0, duty=0.04)
    assert not is_due(10.0, 4.0, 359.0, little, times=4)
    assert is_due(10.0, 4.0, 360.0, little, times=4)
    assert is_due(10.0, 4.0, 10.0, Circumstances(hot=True, floor_s=0.0, duty=0.1), times=4)


def test_a_duty_that_changes_by_little_of_the_engines_time_is_smoothed_however_small_it_is() -> None:
    assert calm_duty(0.03, 0.01, 1.0) > 0.029
    assert calm_duty(0.03, 0.08, 1.0) < 0.031
    assert calm_duty(0.03, 0.1, 1.0) == 0.1
