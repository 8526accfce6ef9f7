"""The ladder of throttle levels: what each level allows, and how much heat it produces relative to full load.

Rules of this file:
- Level 0 is full performance; the last level refuses every frame. The levels between produce a known part of the heat
  of full load.
- First smaller inputs, as long as every frame at the smaller size is worth more than the larger size's frames that the
  same heat allows; then fewer frames; then cameras with a priority only; then none.
- A level is what a technician reads. Between the levels the engine's time (`duty`) is trimmed continuously.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from statistics import geometric_mean

from appliance.device.profile import DeviceProfile
from appliance.values import Limits

DEFAULT_COSTS = ((0.8, 17.2 / 27.2), (0.65, 12.0 / 27.2), (0.5, 7.6 / 27.2), (0.4, 5.3 / 27.2))
"""Input side and CPU time of a frame, both relative to the full size: YOLO11n on x86-64, from
docs/decisions/0006-a-network-for-each-size.md."""

_WORTH = ((1.0, 1.0), (0.8, 0.93), (0.65, 0.86), (0.5, 0.75), (0.4, 0.62), (0.0, 0.0))
"""Input side relative to the full size, and mAP50-95 there relative to full: YOLO11n, two sets of 64 pictures pooled.
The sets differ by up to 0.13 (at 0.8: 0.87 and 0.99); 0.4 was measured on one of them only and scaled."""
_LEAST_GAIN = 1.1
"""A smaller size becomes a level only if it is worth this many times the larger size at the same heat."""
_BAND = 0.8
"""Each level of fewer frames allows this part of the frames of the level before."""
_LEAST_FRAMES = 0.06
_STRIDE, _MIN_SIDE = 32, 64
_MOST_WRONG = 2.0
"""Measured costs are believed up to this factor; more is a measurement that went wrong."""


@dataclass(frozen=True, slots=True)
class Step:
    """One throttle level."""

    heat: float
    """Heat relative to full load, 0-1."""
    frames: float
    """Frames processed under full load, relative to level 0, 0-1."""
    limits: Limits
    worth: float = 1.0
    """Accuracy of a frame, relative to level 0."""
    cost: float = 1.0
    """Engine time of a frame, relative to level 0."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """All throttle levels, from full performance to no frames."""

    steps: tuple[Step, ...]
    measured: bool
    """Whether the costs were measured on this device (`appliance bench`) or come from another machine."""

    @property
    def last(self) -> int:
        """The number of the last level, at which inference is off."""
        return len(self.steps) - 1

    @property
    def sizes(self) -> int:
        """The number of levels that process all frames: one for each input size."""
        return sum(step.frames == 1.0 for step in self.steps)

    def cautious(self) -> int:
        """The first level with half the heat or less."""
        return next(number for number, step in enumerate(self.steps) if step.heat <= 0.5)


def make_ladder(
    full: Limits,
    profile: DeviceProfile | None = None,
    *,
    one_size: bool = False,
    priorities: bool = False,
) -> Ladder:
    """Build the ladder of a device whose limits at level 0 are `full`.

    `one_size`: the network has a fixed input size.
    `priorities`: some cameras have a priority above 0.
    """
    steps = [Step(1.0, 1.0, full)]
    if not one_size:
        for side, cost in _smaller_inputs(full.max_side, profile):
            before, value = steps[-1], worth(side / full.max_side)
            if value * before.cost >= _LEAST_GAIN * before.worth * cost:
                steps.append(Step(cost, 1.0, replace(full, max_side=side, duty=cost), value, cost))
    base = steps[-1]
    frames = _BAND
    while frames > _LEAST_FRAMES:
        heat = base.heat * frames
        steps.append(replace(base, heat=heat, frames=frames, limits=replace(base.limits, duty=heat)))
        frames *= _BAND
    if priorities:
        last = steps[-1]
        steps.append(replace(last, limits=replace(last.limits, lowest_priority=1)))
    steps.append(replace(steps[-1], heat=0.0, frames=0.0, limits=replace(steps[-1].limits, admit=False, duty=0.0)))
    sides = [step.limits.max_side for step in steps]
    return Ladder(
        tuple(
            replace(step, limits=replace(step.limits, next_side=sides[min(number + 1, len(sides) - 1)]))
            for number, step in enumerate(steps)
        ),
        measured=profile is not None,
    )


def with_costs(ladder: Ladder, frame_ms: Mapping[int, float]) -> Ladder:
    """Return the ladder with the costs that the service measured while it ran: engine time of a frame, ms, by input
    side, px. A ladder that was measured by `appliance bench` is returned as it is."""
    if ladder.measured or len(frame_ms) < 2:
        return ladder
    sides = [step.limits.max_side for step in ladder.steps[: ladder.sizes]]
    found = {side: value for side, value in frame_ms.items() if side in sides and value > 0}
    if len(found) < 2:
        return ladder
    believed = {step.limits.max_side: step.cost for step in ladder.steps[: ladder.sizes]}
    ratios = {side: value / believed[side] for side, value in found.items()}
    scale = ratios.get(sides[0]) or geometric_mean(ratios.values())  # without the full size none is the reference
    errors = ((side, ratio / scale) for side, ratio in ratios.items())
    return _corrected(
        ladder, tuple((side, round(min(max(one, 1 / _MOST_WRONG), _MOST_WRONG), 2)) for side, one in errors)
    )


@lru_cache(maxsize=16)
def _corrected(ladder: Ladder, errors: tuple[tuple[int, float], ...]) -> Ladder:
    """Multiply the costs of these sides; costs that are not known are at most the next larger size's."""
    factors, costs, before = dict(errors), [], 1.0
    for step in ladder.steps[: ladder.sizes]:
        before = min(step.cost * factors.get(step.limits.max_side, 1.0), before)
        costs.append(before)
    steps = [
        replace(step, heat=cost * step.heat / step.cost, cost=cost)
        for step, cost in zip(ladder.steps, [*costs, *[before] * len(ladder.steps)], strict=False)
    ]
    return replace(ladder, steps=tuple(steps))


def worth(part: float) -> float:
    """Accuracy of a network at this part of its full input side, relative to full size, 0-1."""
    for (more, high), (less, low) in pairwise(_WORTH):
        if part >= less:
            return low + (high - low) * min(1.0, (part - less) / (more - less))
    return 0.0


def _smaller_inputs(full_side: int, profile: DeviceProfile | None) -> Iterator[tuple[int, float]]:
    """Yield the smaller sides (px), largest first, with the cost of a frame relative to full."""
    whole = profile.cost(full_side) if profile is not None else None
    if profile is not None and whole is not None:
        for rung in sorted(profile.rungs, key=lambda rung: -rung.side):
            if rung.side < full_side:
                yield rung.side, rung.cpu_ms / whole.cpu_ms
    else:
        for side, (_, cost) in zip(smaller_sides(full_side), DEFAULT_COSTS, strict=True):
            yield side, cost


def smaller_sides(full_side: int) -> tuple[int, ...]:
    """The input sides below `full_side` that an unmeasured device uses, largest first, px."""
    return tuple(max(_MIN_SIDE, round(full_side * part / _STRIDE) * _STRIDE) for part, _ in DEFAULT_COSTS)
