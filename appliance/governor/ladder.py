"""The ladder of throttle levels: what each level allows, and how much heat it produces relative to full load.

Rules of this file:
- Level 0 is full performance; the last level refuses every frame. The levels between produce a known part of the heat
  of full load.
- On a busy device a smaller input alone yields more frames and the same heat. A level therefore also limits the
  engine's time (`duty`) to what the frames of level 0 cost at the smaller size: as many frames, less heat.
- The order: smaller inputs, which lose little accuracy for the heat they save; fewer frames, one at a time; cameras
  with a priority only; none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from appliance.device.profile import DeviceProfile
from appliance.values import Limits

DEFAULT_COSTS = ((0.8, 17.2 / 27.2), (0.65, 12.0 / 27.2), (0.5, 7.6 / 27.2), (0.4, 5.3 / 27.2))
"""Input side and CPU time of a frame, both relative to the full size: YOLO11n on x86-64, from
docs/decisions/0006-a-network-for-each-size.md."""

_FEWER_FRAMES = ((0.7, 0.5), (0.5, 1.0), (0.35, 1.5), (0.25, 2.0))
"""Part of the frames, and minimum interval per camera (s): `duty` alone does not slow cameras that send little."""
_MAX_HEAT_RATIO = 0.9
"""A smaller size becomes a level only if its heat is at most this part of the level before."""
_ONE_SIZE = (0.7, 0.5, 0.35, 0.25)
"""Parts of the frames for a network with a fixed input size."""
_STRIDE, _MIN_SIDE = 32, 64


@dataclass(frozen=True, slots=True)
class Step:
    """One throttle level."""

    heat: float
    """Heat relative to full load, at most, 0-1."""
    frames: float
    """Frames processed under full load, relative to level 0, 0-1."""
    limits: Limits


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

    def cautious(self) -> int:
        """The first level with half the heat or less."""
        return next(number for number, step in enumerate(self.steps) if step.heat <= 0.5)


def make_ladder(
    full: Limits,
    profile: DeviceProfile | None = None,
    *,
    slots: int = 1,
    one_size: bool = False,
    priorities: bool = False,
) -> Ladder:
    """Build the ladder of a device whose limits at level 0 are `full`.

    `slots`: inferences that the engine runs in parallel. `one_size`: the network has a fixed input size.
    `priorities`: some cameras have a priority above 0.
    """
    steps = [Step(1.0, 1.0, full)]
    for side, cost, frames in _smaller_inputs(full.max_side, profile, one_size):
        if cost * frames <= _MAX_HEAT_RATIO * steps[-1].heat:
            heat = cost * frames
            steps.append(Step(heat, frames, replace(full, max_side=side, duty=heat)))
    base = steps[-1]
    for part, interval_s in _FEWER_FRAMES:
        steps.append(_with_fewer_frames(base, part, interval_s, min(slots, full.max_in_flight)))
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


def _smaller_inputs(
    full_side: int, profile: DeviceProfile | None, one_size: bool
) -> Iterator[tuple[int, float, float]]:
    """Yield the smaller sides (px), largest first, with the cost of a frame and the frames, both relative to full."""
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
    """The input sides below `full_side` that an unmeasured device uses, largest first, px."""
    return tuple(max(_MIN_SIDE, round(full_side * part / _STRIDE) * _STRIDE) for part, _ in DEFAULT_COSTS)


def _with_fewer_frames(base: Step, part: float, interval_s: float, slots: int) -> Step:
    """Return a level with fewer frames of the same size, one at a time; `duty` counts the engine time of one slot."""
    heat = base.heat * part
    limits = replace(
        base.limits,
        min_interval_s=max(base.limits.min_interval_s, interval_s),
        max_in_flight=1,
        duty=min(1.0, heat * slots),
    )
    return Step(heat, base.frames * part, limits)
