"""Simulate one board in one weather with one controller."""

from __future__ import annotations

from dataclasses import dataclass

from tests.benchmarks.governor.boards import Board, Plant
from tests.benchmarks.governor.rivals import RIVALS
from tests.benchmarks.governor.weather import SECONDS, Weather


@dataclass(frozen=True, slots=True)
class Run:
    """The results of a simulation, second by second."""

    temps_c: list[float]
    states: list[int]
    values: list[float]
    """Frames processed, weighted by the accuracy of their size; 1 is a cool board at full load."""
    throttled_s: int

    @property
    def value(self) -> float:
        return sum(self.values) / len(self.values)

    @property
    def changes_per_hour(self) -> float:
        return sum(a != b for a, b in zip(self.states, self.states[1:], strict=False)) / (len(self.states) / 3600)

    def recovered_s(self, before_s: float, over_s: float) -> float | None:
        """Seconds from the end of the heating to the level before it; None: not reached in this run."""
        before = self.states[int(before_s)]
        later = range(int(over_s), len(self.states))
        return next((second - over_s for second in later if self.states[second] <= before), None)


def simulate(board: Board, weather: Weather, rival: str, seed: int = 1) -> Run:
    """Run the simulation; the cameras send as many frames as a cool board processes."""
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
