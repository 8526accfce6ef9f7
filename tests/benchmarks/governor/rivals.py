"""Controllers to compare: none, on/off, the kernel's step_wise, an oracle, and the governor (`ours`)."""

from __future__ import annotations

from collections.abc import Callable

from appliance.governor.ladder import Ladder, make_ladder
from appliance.governor.policy import Policy, State, decide
from appliance.values import Limits
from tests.benchmarks.governor.boards import Plant

ACCURACY = {640: 46.30, 512: 46.22, 416: 42.40, 320: 38.40, 256: 31.58}
"""mAP50-95 of YOLO11n by side (px), on the 64 pictures of docs/accuracy.md through the socket, f32."""

FULL = Limits(640, 0.0, 8)
Controller = Callable[[Plant], tuple[float, float, int]]
"""Allowed heat (0-1), value of the frames (0-1), and throttle level, for the next second."""


def _value_of(ladder: Ladder, state: int) -> tuple[float, float, int]:
    step = ladder.steps[state]
    return step.heat, step.frames * ACCURACY[step.limits.max_side] / ACCURACY[640], state


def ours(plant: Plant) -> Controller:
    """The real policy, with the ladder of an unmeasured device."""
    board, ladder = plant.board, make_ladder(FULL)
    policy = Policy(board.target_c, board.critical_c, 100_000_000, ladder)
    state = State()

    def control(plant: Plant) -> tuple[float, float, int]:
        nonlocal state
        state, _ = decide(state, plant.read(), policy)
        return _value_of(ladder, state.cooling)

    return control


def none(plant: Plant) -> Controller:
    """Full load; only the firmware throttles."""
    return lambda plant: (1.0, 1.0, 0)


def on_off(plant: Plant) -> Controller:
    """Stop at the throttling temperature, and run at full load again 5 °C below it."""
    off = False

    def control(plant: Plant) -> tuple[float, float, int]:
        nonlocal off
        temp = plant.read().thermal.soc_temp_c
        if temp is not None:
            off = temp >= plant.board.throttle_c or (off and temp > plant.board.throttle_c - 5)
        return (0.0, 0.0, 1) if off else (1.0, 1.0, 0)

    return control


def step_wise(plant: Plant) -> Controller:
    """Linux's step_wise governor (drivers/thermal/gov_step_wise.c), polled once a second, with this ladder and target.

    It goes one state up when the temperature is above the target and rising, and one down when below and falling.
    """
    ladder = make_ladder(FULL)
    state, last = 0, plant.chip_c

    def control(plant: Plant) -> tuple[float, float, int]:
        nonlocal state, last
        temp = plant.read().thermal.soc_temp_c
        if temp is not None:
            if temp >= plant.board.target_c and temp > last:
                state = min(state + 1, ladder.last)
            elif temp < plant.board.target_c and temp < last:
                state = max(state - 1, 0)
            last = temp
        return _value_of(ladder, state)

    return control


def oracle(plant: Plant) -> Controller:
    """Knows board and weather without a sensor: the most valuable load at any size and rate that stays half a degree
    below the throttling temperature.
    """
    return _below(plant.board.throttle_c - 0.5)


def oracle_at_target(plant: Plant) -> Controller:
    """The oracle, limited to the governor's target temperature."""
    return _below(plant.board.target_c)


def _below(limit_c: float) -> Controller:
    steps = [step for step in make_ladder(FULL).steps if step.frames == 1.0]

    def control(plant: Plant) -> tuple[float, float, int]:
        cold, hot = plant.after(0.0)[0], plant.after(1.0)[0]
        heat = min(max((limit_c - cold) / (hot - cold), 0.0), 1.0)
        value, used = max(
            (min(1.0, heat / step.heat) * ACCURACY[step.limits.max_side] / ACCURACY[640], min(heat, step.heat))
            for step in steps
        )
        return used, value, 0

    return control


RIVALS = {
    "none": none,
    "on/off": on_off,
    "step_wise": step_wise,
    "ours": ours,
    "at target": oracle_at_target,
    "oracle": oracle,
}
