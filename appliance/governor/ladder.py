"""The cooling states of this box: what each one allows, and how much heat is left of a cool box's.

Rules of this file:
- State 0 is full work, the last one refuses every frame. Each state between makes a known part of full work's heat.
- Where every core is busy a smaller input alone means more frames and the same heat. So a state also bounds the
  engine's time (`duty`) to what the frames of a cool box cost at the smaller size: as many frames, less heat.
- First smaller inputs, which lose little accuracy for the heat they save; then fewer frames, one at a time; then only
  the cameras that matter more; then none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from appliance.device.profile import Profile
from appliance.values import Limits

DEFAULT_COSTS = ((0.8, 17.2 / 27.2), (0.65, 12.0 / 27.2), (0.5, 7.6 / 27.2), (0.4, 5.3 / 27.2))
"""Part of the full side, and processor time of a frame as a part of the full size's: YOLO11n on x86-64, from
docs/decisions/0006-a-network-for-each-size.md."""

_SLOWER = ((0.7, 0.5), (0.5, 1.0), (0.35, 1.5), (0.25, 2.0))
"""Part of the frames, and least interval of a camera (s): cameras that need little are not slowed by `duty` alone."""
_WORTH = 0.9
"""A smaller size that makes more than this part of the heat of the one before is no state of its own."""
_ONE_SIZE = (0.7, 0.5, 0.35, 0.25)
"""Parts of the frames where the network has only one size."""
_STRIDE, _LEAST_SIDE = 32, 64


@dataclass(frozen=True, slots=True)
class Step:
    """One cooling state."""

    heat: float
    """Part of the heat of full work that is made at the most, 0-1."""
    frames: float
    """Part of a cool box's frames that are still answered under full load, 0-1."""
    limits: Limits


@dataclass(frozen=True, slots=True)
class Ladder:
    """All cooling states, from full work to none."""

    steps: tuple[Step, ...]
    measured: bool
    """Whether the costs are this box's own (`appliance bench`), or those of another machine."""

    @property
    def last(self) -> int:
        """The state in which nothing is inferred."""
        return len(self.steps) - 1

    def cautious(self) -> int:
        """The first state that makes half the heat or less."""
        return next(number for number, step in enumerate(self.steps) if step.heat <= 0.5)


def make_ladder(
    full: Limits, profile: Profile | None = None, *, slots: int = 1, one_size: bool = False, priorities: bool = False
) -> Ladder:
    """The ladder of a box whose limits are `full` when it is cool.

    `slots`: inferences the engine runs side by side. `one_size`: the network takes no other. `priorities`: some
    cameras have a priority above 0.
    """
    steps = [Step(1.0, 1.0, full)]
    for side, cost, frames in _parts(full.max_side, profile, one_size):
        if cost * frames <= _WORTH * steps[-1].heat:
            heat = cost * frames
            steps.append(Step(heat, frames, replace(full, max_side=side, duty=heat)))
    base = steps[-1]
    for part, interval_s in _SLOWER:
        steps.append(_slower(base, part, interval_s, min(slots, full.max_in_flight)))
    if priorities:
        last = steps[-1]
        steps.append(replace(last, limits=replace(last.limits, lowest_priority=1)))
    steps.append(Step(0.0, 0.0, replace(steps[-1].limits, admit=False, duty=0.0)))
    sides = [step.limits.max_side for step in steps]
    return Ladder(
        tuple(
            replace(step, limits=replace(step.limits, next_side=sides[min(number + 1, len(sides) - 1)]))
            for number, step in enumerate(steps)
        ),
        measured=profile is not None,
    )


def _parts(full_side: int, profile: Profile | None, one_size: bool) -> Iterator[tuple[int, float, float]]:
    """Sides below the full one, the largest first: px, cost of a frame and frames, both as parts of the full size's."""
    whole = profile.cost(full_side) if profile is not None else None
    if one_size:
        yield from ((full_side, 1.0, part) for part in _ONE_SIZE)
    elif profile is not None and whole is not None:
        for rung in sorted(profile.rungs, key=lambda rung: -rung.side):
            if rung.side < full_side:
                yield rung.side, rung.cpu_ms / whole.cpu_ms, 1.0
    else:
        for side, (_, cost) in zip(smaller_sides(full_side), DEFAULT_COSTS, strict=True):
            yield side, cost, 1.0


def smaller_sides(full_side: int) -> tuple[int, ...]:
    """The sides below `full_side` that the ladder goes down where nothing was measured, largest first, px."""
    return tuple(max(_LEAST_SIDE, round(full_side * part / _STRIDE) * _STRIDE) for part, _ in DEFAULT_COSTS)


def _slower(base: Step, part: float, interval_s: float, slots: int) -> Step:
    """Fewer frames of the same size, one at a time: `duty` counts the engine's time that one in flight can use."""
    heat = base.heat * part
    limits = replace(
        base.limits,
        min_interval_s=max(base.limits.min_interval_s, interval_s),
        max_in_flight=1,
        duty=min(1.0, heat * slots),
    )
    return Step(heat, base.frames * part, limits)
