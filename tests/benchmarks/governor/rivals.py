"""Controllers to compare with the governor (`ours`), each a function from a plant's sensors to the limits of a second.

Rules of this file:
- A rival reads the same sensor; a sample that no chip can have is skipped for it.
- A rival spends its duty at the sizes of `duty_limits`, like the governor: the comparison is of pace, not of sizes.
- step_wise is the exception: it walks the governor's ladder, one level at a time.
"""

from __future__ import annotations

from collections.abc import Callable

from appliance.governor.clocks import ClockChoice, next_clock, spread
from appliance.governor.ladder import make_ladder
from appliance.governor.policy import State, decide
from appliance.governor.targets import Policy, target_c
from appliance.settings.schema.governor import GovernorSettings
from appliance.values import Limits
from tests.benchmarks.governor.boards import Plant
from tests.benchmarks.governor.days import Control
from tests.benchmarks.governor.draws import Case

FULL = Limits(640, 0.0, 8)
LADDER = make_ladder(FULL)
_SHIPPED = GovernorSettings()
POLICY = Policy(_SHIPPED.target_temp_c, _SHIPPED.critical_temp_c, _SHIPPED.min_available_bytes, LADDER)
"""The settings as shipped, and the ladder of a device that was not measured."""


def duty_limits(duty: float) -> Limits:
    """The most valuable limits with this part of the engine's time."""
    sizes = LADDER.steps[: LADDER.sizes]
    best = max(sizes, key=lambda step: step.worth * min(1.0, duty / step.cost))
    return Limits(best.limits.max_side, 0.0, 8, admit=duty > 0, duty=duty)


class _Thermometer:
    """What a simple controller reads: the last plausible temperature, and the target of this board."""

    def __init__(self) -> None:
        self.temp_c, self.target_c = 40.0, POLICY.target_temp_c

    def read(self, plant: Plant) -> float:
        reading = plant.read()
        self.target_c = target_c(reading, POLICY)
        temp = reading.thermal.soc_temp_c
        if temp is not None and 0 < temp < 125:
            self.temp_c = temp
        return self.temp_c


def ours() -> Control:
    """The real policy."""
    state = State()

    def control(plant: Plant, case: Case) -> Limits:
        nonlocal state
        state, limits = decide(state, plant.read(), POLICY)
        return limits

    return control


def capped(lowest_percent: int = 50) -> Control:
    """The real policy on a board whose clock it may lower. The plant's use is heat already: that of a full clock."""
    state, choice = State(), ClockChoice()

    def control(plant: Plant, case: Case) -> Limits:
        nonlocal state, choice
        state, limits = decide(state, plant.read(), POLICY)
        choice = next_clock(choice, limits.duty if limits.admit else 0.0, lowest_percent, plant.at_s)
        plant.clock = choice.percent / 100
        return spread(limits, choice.percent)

    return control


def none() -> Control:
    """Full load; only the firmware throttles."""
    return lambda plant, case: FULL


def on_off() -> Control:
    """Stop at the target, and run at full load again 5 °C below it."""
    sensor, off = _Thermometer(), False

    def control(plant: Plant, case: Case) -> Limits:
        nonlocal off
        temp = sensor.read(plant)
        off = temp >= sensor.target_c or (off and temp > sensor.target_c - 5)
        return duty_limits(0.0 if off else 1.0)

    return control


def step_wise() -> Control:
    """Linux's step_wise governor (drivers/thermal/gov_step_wise.c), polled once a second, with the governor's ladder.

    It goes one level up when the temperature is above the target and rising, and one down when below and falling.
    """
    sensor, level, last = _Thermometer(), 0, 40.0

    def control(plant: Plant, case: Case) -> Limits:
        nonlocal level, last
        temp = sensor.read(plant)
        if temp >= sensor.target_c and temp > last:
            level = min(level + 1, LADDER.last)
        elif temp < sensor.target_c and temp < last:
            level = max(level - 1, 0)
        last = temp
        return LADDER.steps[level].limits

    return control


def pi_pace() -> Control:
    """A PI controller of the duty with one pair of gains for all boards, and an integral that stops at the limits."""
    sensor, integral = _Thermometer(), 1.0

    def control(plant: Plant, case: Case) -> Limits:
        nonlocal integral
        error_c = sensor.target_c - sensor.read(plant)
        integral = min(1.0, max(0.0, integral + 0.0005 * error_c))
        return duty_limits(min(1.0, max(0.01, integral + 0.04 * error_c)))

    return control


def power_allocator() -> Control:
    """Linux's power_allocator (drivers/thermal/gov_power_allocator.c): PID on the power budget, with its default gains.

    k_po = sustainable / range, k_pu twice that, k_i = k_pu / 10, no k_d. The sustainable power is the kernel's estimate
    from the minimum power of all states; the board's full power is known to it from the device tree.
    """
    sensor, integral = _Thermometer(), 0.0
    sustainable = 0.5  # of full power

    def control(plant: Plant, case: Case) -> Limits:
        nonlocal integral
        error_c = sensor.target_c - sensor.read(plant)
        above, below = sustainable / _SWITCH_C, 2 * sustainable / _SWITCH_C
        if abs(error_c) < _SWITCH_C:  # the kernel's integral_cutoff
            integral = min(sustainable, max(-sustainable, integral + below / 10 * error_c))
        budget = sustainable + (below if error_c > 0 else above) * error_c + integral
        return duty_limits(min(1.0, max(0.01, budget)))

    return control


_SWITCH_C = 10.0
"""From switch-on temperature to the target."""

RIVALS: dict[str, Callable[[], Control]] = {
    "none": none,
    "on/off": on_off,
    "step_wise": step_wise,
    "power_allocator": power_allocator,
    "PI": pi_pace,
    "ours": ours,
}
