"""What a frame costs at each input size, all at the same speed of the device.

Rules of this file:
- The figure of a size (`Reading.frame_ms`) is as old as its last frame. A figure that was measured while another
  program slowed the engine says nothing next to one that was measured alone.
- So a figure is the product of the ladder's cost, a factor of the size, and the device's speed, which all sizes share.
  A Kalman filter estimates the logarithms of both: the speed changes with time and with other programs' load, the
  factor of a size that is measured does not. Sizes are thus compared when the size in use changes.
- A figure counts while it changes. That of a size that comes back counts after some time: until then it may still show
  the speed of long ago.
- What was found of an unused size is forgotten slowly, in favour of the ladder's costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import exp, log

from appliance.governor.heat import towards

_FRESH_S = 10.0
"""A figure that has not changed for so long is that of an unused size."""
_SETTLE_S = 30.0
"""Time in use after which a figure shows the present speed."""
_FORGET_S, _AVERAGE_S = 4 * 3600.0, 10.0
_NOISE, _LADDER = 0.03, 0.2
"""Relative standard deviations: of a figure, and of the ladder's costs on an unknown board."""
_SPEED_2_S = 0.2**2 / 300
"""Variance that the speed gains in a second: a fifth within five minutes."""
_UNKNOWN_2 = 100.0
"""Variance of a speed that was never measured."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured of one size."""

    ms: float | None
    """The last figure; None: the size is being measured again."""
    changed_s: float
    used_s: float | None
    """When it changed last, and since when it has been in use; None: it is not."""


@dataclass(frozen=True, slots=True)
class SizeCosts:
    """The engine time of frames by the longest side of their input, px."""

    figures: Mapping[int, Figure] = field(default_factory=dict)
    means: Mapping[int, float] = field(default_factory=dict)
    """Logarithms of the speed (side 0), ms, and of the factors by side."""
    spread: Mapping[tuple[int, int], float] = field(default_factory=dict)
    """Their covariances."""
    ms: Mapping[int, float] = field(default_factory=dict)
    """What a frame would cost at the speed that the device has now, for each size that was measured."""
    given: int | None = None
    """The side that cameras are given."""
    others: float = 0.0
    others_then: float = 0.0
    """CPU use by other programs, smoothed: now, and when the speed was measured last."""
    at_s: float = 0.0


def next_costs(
    costs: SizeCosts, measured_ms: Mapping[int, float], given: int, ladder: Mapping[int, float], others: float,
    now_s: float,
) -> SizeCosts:  # fmt: skip
    """Return the costs after one more reading of the figures, ms; `given`: the side that cameras are given, px;
    `ladder`: what frames cost relative to each other where nothing was measured; `others`: CPU use by other programs,
    0-1."""
    measured_ms = {side: ms for side, ms in measured_ms.items() if side in ladder}
    if not measured_ms:  # another network, or none that ran yet
        return SizeCosts(given=given, others=others, others_then=others, at_s=now_s)
    step_s = max(0.0, now_s - costs.at_s)
    others = towards(costs.others, others, step_s, _AVERAGE_S)
    figures, fresh = {}, []
    for side in {*costs.figures, *measured_ms} & ladder.keys():
        before, ms = costs.figures.get(side), measured_ms.get(side)
        figures[side] = _noted(before, ms, given=side == given, came=side == given != costs.given, now_s=now_s)
        if before is None or _counts(figures[side], now_s):
            fresh.append(side)
    unrest = (others - costs.others_then) ** 2 if fresh else 0.0
    means, spread = _aged(costs, figures, unrest, step_s)
    for side in fresh:
        means, spread = _corrected(means, spread, side, log(measured_ms[side] / ladder[side]))
    ms_now = {side: ladder[side] * exp(means[0] + means[side]) for side in figures}
    return SizeCosts(figures, means, spread, ms_now, given, others, others if fresh else costs.others_then, now_s)


def _noted(before: Figure | None, ms: float | None, *, given: bool, came: bool, now_s: float) -> Figure:
    """The figure after one more reading; `came`: cameras have just been given this size."""
    if before is None or ms is None:
        return Figure(ms, now_s, None if ms is None else now_s)
    changed = ms != before.ms
    changed_s, used_s = now_s if changed else before.changed_s, before.used_s
    if came or (changed and used_s is None):
        used_s = now_s
    elif not given and now_s - changed_s > _FRESH_S:
        used_s = None
    return Figure(ms, changed_s, used_s)


def _counts(figure: Figure, now_s: float) -> bool:
    """Whether the figure shows the present speed, and the size is in use."""
    if figure.ms is None or figure.used_s is None or now_s - figure.used_s < _SETTLE_S:
        return False
    return figure.changed_s >= figure.used_s


def _aged(
    costs: SizeCosts, figures: Mapping[int, Figure], unrest: float, step_s: float
) -> tuple[dict[int, float], dict[tuple[int, int], float]]:
    """Make the speed less certain, and the factors of unused sizes."""
    kept = {side: exp(-step_s / _FORGET_S) if figure.used_s is None else 1.0 for side, figure in figures.items()}
    kept[0] = 1.0
    means = {side: costs.means.get(side, 0.0) * part for side, part in kept.items()}
    spread = {
        (one, other): costs.spread.get((one, other), 0.0) * kept[one] * kept[other] for one in kept for other in kept
    }
    for side, part in kept.items():
        new = side not in costs.means
        spread[side, side] += _LADDER**2 * (1.0 if new else 1 - part**2) if side else 0.0
    spread[0, 0] += _SPEED_2_S * step_s + unrest if 0 in costs.means else _UNKNOWN_2
    return means, spread


def _corrected(
    means: dict[int, float], spread: dict[tuple[int, int], float], side: int, found: float
) -> tuple[dict[int, float], dict[tuple[int, int], float]]:
    """Apply one Kalman correction: the speed and this side's factor together are `found`."""
    shared = {one: spread[one, 0] + spread[one, side] for one in means}
    variance = shared[0] + shared[side] + _NOISE**2
    wrong = found - means[0] - means[side]
    moved = {one: mean + shared[one] / variance * wrong for one, mean in means.items()}
    return moved, {
        (one, other): value - shared[one] * shared[other] / variance for (one, other), value in spread.items()
    }
