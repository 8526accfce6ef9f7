"""One board through one day under one controller."""

from __future__ import annotations

from dataclasses import dataclass

from tests.benchmarks.governor.boards import Board, Plant
from tests.benchmarks.governor.rivals import RIVALS
from tests.benchmarks.governor.weather import SECONDS, Weather


@dataclass(frozen=True, slots=True)
class Run:
    """What came of it, second by second."""

    temps_c: list[float]
    states: list[int]
    values: list[float]
    """Frames answered, each counted by the accuracy of its size; 1 is a cool box at full work."""
    throttled_s: int

    @property
    def value(self) -> float:
        return sum(self.values) / len(self.values)

    @property
    def changes_per_hour(self) -> float:
        return sum(a != b for a, b in zip(self.states, self.states[1:], strict=False)) / (len(self.states) / 3600)

    def recovered_s(self, before_s: float, over_s: float) -> float | None:
        """Seconds from the end of the heat's cause until the state of before it; None: not in this run."""
        before = self.states[int(before_s)]
        later = range(int(over_s), len(self.states))
        return next((second - over_s for second in later if self.states[second] <= before), None)


def simulate(board: Board, weather: Weather, rival: str, seed: int = 1) -> Run:
    """Every camera sends what the box answers when it is cool."""
    plant = Plant(board, weather.air_c(0.0), seed)
    control = RIVALS[rival](plant)
    run = Run([], [], [], 0)
    throttled_s = 0
    for second in range(SECONDS):
        plant.air_c = weather.air_c(float(second))
        blocked = weather.blocked[0] <= second < weather.blocked[1]
        plant.sink_resistance = board.blocked_c_w if blocked else board.sink_c_w
        heat, value, state = control(plant)
        throttled_s += plant.throttled
        run.values.append(value * plant.speed)
        run.temps_c.append(plant.chip_c)
        run.states.append(state)
        plant.work(heat)
    return Run(run.temps_c, run.states, run.values, throttled_s)
