"""The last hour of each camera: rates, gaps, dates, and a bound."""

from __future__ import annotations

from appliance.health.camera_history import MOST, CameraHistory
from appliance.values import CameraLimits, CameraStats

LIMITS = CameraLimits(0.2, 640, 85, "normal")


def stats(answered: int, refused: int = 0, latency_ms: float | None = 84.04) -> CameraStats:
    return CameraStats(answered + refused, answered, 0, 0, {"rate_limited": refused}, 0.0, 0.0, latency_ms, LIMITS)


def test_rates_are_counted_over_ten_seconds() -> None:
    history = CameraHistory()
    for second in range(100, 131):
        history.note(lambda: {"gate": stats(5 * second, 20 * second)}, float(second))  # noqa: B023
    excerpt = history.as_json("gate", 130.0, 1_800_000_000.0)
    assert excerpt["columns"]["answered_fps"][-4:] == [None, 5.0, 5.0, 5.0]
    assert excerpt["columns"]["refused_fps"][-1] == 20.0
    assert excerpt["columns"]["latency_ms"][-1] == 84.0
    assert excerpt["start"] + 360 * excerpt["step_s"] == 1_800_000_000


def test_a_camera_that_sends_nothing_or_connects_again_leaves_a_gap() -> None:
    history = CameraHistory()
    for second, answered in enumerate((100, 150, 150, 30, 80)):
        history.note(lambda: {"gate": stats(answered)}, 10.0 * second)  # noqa: B023
    assert history.as_json("gate", 40.0, 0.0)["columns"]["answered_fps"][-5:] == [None, 5.0, None, None, 5.0]


def test_what_is_older_than_an_hour_is_not_shown_again() -> None:
    history = CameraHistory()
    for at_s, answered in ((0.0, 0), (10.0, 50), (3610.0, 50)):
        history.note(lambda: {"gate": stats(answered)}, at_s)  # noqa: B023
    assert set(history.as_json("gate", 3610.0, 0.0)["columns"]["answered_fps"]) == {None}


def test_unknown_latency_and_unknown_cameras_are_null() -> None:
    history = CameraHistory()
    for at_s, answered in ((0.0, 0), (10.0, 50)):
        history.note(lambda: {"gate": stats(answered, latency_ms=None)}, at_s)  # noqa: B023
    assert history.as_json("gate", 10.0, 0.0)["columns"]["latency_ms"][-1] is None
    assert history.as_json("nobody", 10.0, 0.0)["columns"]["answered_fps"] == [None] * 360


def test_the_number_of_cameras_is_bounded() -> None:
    history = CameraHistory()
    for number in range(2 * MOST):
        history.note(lambda: {f"camera {number}": stats(number)}, 10.0 * number)  # noqa: B023
    assert len(history._cameras) == MOST
