"""One drawn case with one controller, second by second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import sin, sqrt

from appliance.flow.announcements import Announcements, Circumstances, calm_duty
from appliance.flow.obedience import NEEDED_PART
from appliance.governor.ladder import DEFAULT_COSTS
from appliance.values import CameraLimits, Limits
from tests.benchmarks.governor.boards import Plant
from tests.benchmarks.governor.draws import SECONDS, Case

SIDES = (640, 512, 416, 320, 256)
WORTH = {640: 1.00, 512: 0.93, 416: 0.86, 320: 0.75, 256: 0.62}
"""mAP50-95 relative to 640 px: two sets of 64 pictures pooled; 256 px extrapolated from one. Half a set's pictures move
a figure by up to 0.06."""
_FULL_MS, _MEASURED_S, _MEASURED_PART = 40.0, 5, 0.03
Control = Callable[[Plant, Case], Limits]


@dataclass
class Day:
    """What happened."""

    case: Case
    temps_c: list[float] = field(default_factory=list)
    duties: list[float] = field(default_factory=list)
    sides: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    """Frames answered, weighted by the worth of their size; 1 is a cool device with cameras that send all they may."""
    demands: list[float] = field(default_factory=list)
    throttled: list[bool] = field(default_factory=list)
    announced: list[int] = field(default_factory=list)
    """Seconds at which a camera was sent new limits."""

    @property
    def value(self) -> float:
        return sum(self.values) / sum(self.demands)

    @property
    def throttled_s(self) -> int:
        return sum(self.throttled)

    def told_per_hour(self) -> float:
        """Without the first half hour, in which the governor learns."""
        return sum(at_s >= 1800 for at_s in self.announced) / ((SECONDS - 1800) / 3600)


def costs_of(case: Case) -> dict[int, float]:
    """True CPU time of a frame by side, relative to the full size."""
    smaller = (cost * error for (_, cost), error in zip(DEFAULT_COSTS, case.cost_errors, strict=True))
    return dict(zip(SIDES, (1.0, *smaller), strict=True))


def start(case: Case) -> Plant:
    return Plant(case.board, case.air_at(0.0), case.number)


def advance(plant: Plant, case: Case, second: int) -> tuple[float, float]:
    """Set this second's weather and load by others; return it: CPU and GPU."""
    at_s = float(second)
    plant.air_c = case.air_at(at_s)
    plant.sink_resistance = case.board.blocked_c_w if case.blocked(at_s) else case.board.sink_c_w
    plant.others, plant.gpu = case.others(at_s), case.gpu(at_s) if case.board.habits.gpu_w else 0.0
    plant.foreign_w = case.foreign_w(at_s)
    return plant.others, plant.gpu


def live(case: Case, control: Control) -> Day:
    """Run the case; cameras obey their limits, or send as much as the device takes."""
    plant, day, costs = start(case), Day(case), costs_of(case)
    sent, calm = Announcements(), 1.0
    sent.record(_camera_limits(1.0, SIDES[0]), 0.0)
    for second in range(SECONDS):
        others, gpu = advance(plant, case, second)
        limits = control(plant, case)
        duty = limits.duty if limits.admit else 0.0
        demand, cost = case.demand(float(second)), costs[limits.max_side]
        assert sent.limits is not None
        calm = calm_duty(calm, duty, 1.0) if limits.max_side == sent.limits.max_side else duty
        share = _camera_limits(1.0 / max(calm, 0.001), limits.max_side)
        needed_s = NEEDED_PART * plant.clock / max(demand * cost, 1e-6)
        present = Circumstances(duty < 1.0, 1.0 if duty > 0 else share.min_interval_s, calm, needed_s)
        due = sent.due(share, float(second), present)
        if due is not None:
            sent.record(due, float(second))
            day.announced.append(second)
        obeyed = min(1.0, 1.0 / sent.limits.min_interval_s)
        allowed = case.obeying * obeyed + (1.0 - case.obeying) * duty if limits.admit else 0.0
        if limits.admit:
            measure(plant, limits.max_side, cost, second)
        clock = plant.clock
        own = min(demand * cost / clock, allowed, 1.0 - others)
        day.values.append(own * clock / cost * WORTH[limits.max_side] * plant.speed)
        day.demands.append(demand)
        day.temps_c.append(plant.chip_c)
        day.duties.append(duty)
        day.sides.append(limits.max_side)
        day.throttled.append(plant.throttled)
        plant.work(own * clock**2, others, gpu)
    return day


def _camera_limits(interval_s: float, side: int) -> CameraLimits:
    """Limits whose interval is in the time that one frame takes at full size."""
    return CameraLimits(interval_s, side, 80, "temperature")


def measure(plant: Plant, side: int, cost: float, second: int) -> None:
    """Let the service measure the frames of this second: within a few percent, once a size was used for some time."""
    plant.used_s[side] = plant.used_s.get(side, 0) + 1
    if plant.used_s[side] > _MEASURED_S:
        found_ms = _FULL_MS * cost * (1.0 + _MEASURED_PART * sin(second / 37.0))
        plant.frame_ms[side] = plant.frame_ms.get(side, found_ms) * 0.9 + found_ms * 0.1


def oracle(case: Case, below_c: float = 0.5, lowest_clock: float = 1.0) -> Day:
    """Knows board, weather and load; mixes sizes freely; stays half a degree below the throttling temperature. Where it
    may lower the clock, it works at the lowest one that suffices."""
    plant, day, costs = start(case), Day(case), costs_of(case)
    for second in range(SECONDS):
        others, gpu = advance(plant, case, second)
        cold, hot = plant.after(0.0), plant.after(1.0)
        room = (case.board.throttle_c - below_c - cold) / (hot - cold)
        demand = case.demand(float(second))
        heat = min(max(room, 0.0), 1.0 - others)
        clock = min(1.0, max(lowest_clock, sqrt(heat / (1.0 - others)))) if others < 1.0 else 1.0
        value, engine = best_mix(min(heat / clock, (1.0 - others) * clock), demand, costs)
        own = engine * clock
        day.values.append(value * plant.speed)
        day.demands.append(demand)
        day.temps_c.append(plant.chip_c)
        day.duties.append(own)
        day.sides.append(SIDES[0])
        day.throttled.append(plant.throttled)
        plant.work(own, others, gpu)
    return day


def best_mix(heat: float, demand: float, costs: dict[int, float]) -> tuple[float, float]:
    """The most value of `demand` frames with at most this heat, and the heat used: the best two sizes in a mixture."""
    points = [(0.0, 0.0), *((demand * costs[side], demand * WORTH[side]) for side in SIDES)]
    best = (0.0, 0.0)
    for heat_1, value_1 in points:
        if heat_1 <= heat and value_1 > best[0]:
            best = (value_1, heat_1)
        for heat_2, value_2 in points:
            if heat_1 <= heat < heat_2:
                value = value_1 + (value_2 - value_1) * (heat - heat_1) / (heat_2 - heat_1)
                if value > best[0]:
                    best = (value, heat)
    return best
