"""What else could steer a hot box: nothing, a switch, the kernel's step_wise, an oracle. And ours."""

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
"""Heat that the box may make (0-1), value of its frames (0-1), and its cooling state, for the next second."""


def _worth(ladder: Ladder, state: int) -> tuple[float, float, int]:
    step = ladder.steps[state]
    return step.heat, step.frames * ACCURACY[step.limits.max_side] / ACCURACY[640], state


def ours(plant: Plant) -> Controller:
    """The real policy, over the ladder of a box that was never measured."""
    board, ladder = plant.board, make_ladder(FULL)
    policy = Policy(board.target_c, board.critical_c, 100_000_000, ladder)
    state = State()

    def control(plant: Plant) -> tuple[float, float, int]:
        nonlocal state
        state, _ = decide(state, plant.read(), policy)
        return _worth(ladder, state.cooling)

    return control


def none(plant: Plant) -> Controller:
    """Full work; the firmware does the rest."""
    return lambda plant: (1.0, 1.0, 0)


def on_off(plant: Plant) -> Controller:
    """Nothing from the trip on, everything again five degrees below it."""
    off = False

    def control(plant: Plant) -> tuple[float, float, int]:
        nonlocal off
        temp = plant.read().thermal.soc_temp_c
        if temp is not None:
            off = temp >= plant.board.throttle_c or (off and temp > plant.board.throttle_c - 5)
        return (0.0, 0.0, 1) if off else (1.0, 1.0, 0)

    return control


def step_wise(plant: Plant) -> Controller:
    """Linux' governor of that name, polled once a second, over our ladder and target (drivers/thermal/gov_step_wise.c):
    above the trip and rising one state more; below and falling one less.
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
        return _worth(ladder, state)

    return control


def oracle(plant: Plant) -> Controller:
    """Knows the board and the weather without a sensor: always the most valuable work that stays half a degree below
    the throttle, at any of the sizes and at any pace.
    """
    return _below(plant.board.throttle_c - 0.5)


def oracle_at_target(plant: Plant) -> Controller:
    """The same, if it is to keep as far below the throttle as ours."""
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
