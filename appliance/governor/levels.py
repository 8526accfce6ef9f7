"""Which throttle level goes with a duty: what cameras and technicians see, and therefore slow.

Rules of this file:
- What the cameras ask for is known while they leave a part of the duty unused. Their frames at a size need a part of
  the engine's time; a level is left only when the duty no longer covers what they need.
- Down (less work, a higher level) at once when another size is worth clearly more at this duty, else after seconds.
- Up when the heat model forecasts that the duty lasts, after seconds; without its consent after minutes. A move up that
  had to be reversed makes the next one wait longer, so that a device between two levels alternates rarely.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from appliance.governor.heat import towards
from appliance.governor.ladder import Ladder, Step

_SATURATED, _FULLY = 0.65, 0.93
"""Cameras that use this part of the duty might use more: those that keep to their limits leave a part unused."""
_SETTLE_S = 60.0
_KNOWN_S = 12 * 3600.0
_AVERAGE_S = 20.0
_LEAST, _LEAST_DUTY = 0.1, 0.04
_VARIED, _FOLLOWED, _SAME_SIZE = 0.12, 0.04, 0.1
"""Use that follows a duty that changed by the first part, to within the second, is limited by it."""
_ABOVE, _NOISE = 1.1, 0.08
"""More use than this at a duty shows at once that the engine uses more than was known."""
_DOWN_S, _UP_S, _PATIENT_S = 10.0, 20.0, 600.0
_CLEARLY = 1.15
"""A level that is worth this much more is used without waiting."""
_HYSTERESIS = 0.04
_ROOM = 0.85
"""With this part of the duty that lasts, a move up is certain."""
_BACK_OFF, _MAX_FAILED, _FAILURE_S = 3, 4, 900.0
_SLACK = 0.98


@dataclass(frozen=True, slots=True)
class CameraDemand:
    """What the cameras ask for, and what the engine uses."""

    frames: float = 1.0
    """Frames that the cameras send, relative to what a cool device processes at full size, 0-1."""
    use_at_full: float = 1.0
    """CPU use by this service at full duty, 0-1."""
    own: float = 0.0
    duty: float = 0.0
    """CPU use by this service, and the duty, both smoothed; 0-1."""
    mark: tuple[float, float] | None = None
    """Both, at an earlier time at this size."""
    cost: float = 1.0


@dataclass(frozen=True, slots=True)
class Ease:
    """How long another level has been better."""

    down_since_s: float | None = None
    up_since_s: float | None = None
    moved_s: float = float("-inf")
    """Time of the last move."""
    raised_s: float | None = None
    """Time of the last move up; None: a move down has followed it."""
    failed: int = 0
    """How many moves up were reversed soon."""


def next_demand(demand: CameraDemand, own: float, duty: float, cost: float, step_s: float) -> CameraDemand:
    """Update the demand: CPU use by this service (0-1), the duty that was allowed, and the engine time of a frame."""
    own_avg, duty_avg = towards(demand.own, own, step_s, _AVERAGE_S), towards(demand.duty, duty, step_s, _AVERAGE_S)
    full, ratio = demand.use_at_full, own_avg / max(duty_avg, 0.001)
    mark, limited = demand.mark if abs(cost / demand.cost - 1) < _SAME_SIZE else None, False
    if abs(duty - duty_avg) < _VARIED / 2 * duty_avg and abs(own - own_avg) < _VARIED * own_avg:
        mark, limited = _compared(mark, own_avg, duty_avg)
    if own > _ABOVE * full * max(duty, duty_avg) + _NOISE:
        full = min(1.0, own / max(duty, duty_avg))
    elif duty_avg < _LEAST_DUTY:
        pass
    elif limited:
        full = min(1.0, max(_LEAST, ratio, full - (full - ratio) / 2))
    elif ratio >= _FULLY * full:
        full = min(1.0, max(full, towards(full, ratio, step_s, _SETTLE_S)))
    else:
        full = max(_LEAST, towards(full, ratio, step_s, _KNOWN_S))
    sent = min(1.0, own_avg / full / cost)
    if ratio >= _SATURATED * full:
        sent = max(sent, min(1.0, demand.frames + step_s / _DOWN_S))
    else:
        sent = max(sent, towards(demand.frames, sent, step_s, _SETTLE_S))
    return CameraDemand(sent, full, own_avg, duty_avg, mark, cost)


def _compared(mark: tuple[float, float] | None, own: float, duty: float) -> tuple[tuple[float, float], bool]:
    """Compare use and duty with what they were; return what to compare with next, and whether the duty limits the use:
    cameras that send less use the same at any duty."""
    if mark is None or min(mark) < _LEAST_DUTY or duty < _LEAST_DUTY:
        return (own, duty), False
    change = duty / mark[1]
    if abs(change - 1) < _VARIED:
        return mark, False
    return (own, duty), abs(own / mark[0] - change) < _FOLLOWED


def next_level(
    ease: Ease, level: int, duty: float, lasting: float, demand: CameraDemand, ladder: Ladder, now_s: float
) -> tuple[Ease, int]:
    """Return the level for this duty, and for the duty that lasts in this weather (0-1 each)."""
    level = min(level, ladder.last)
    down = _best(ladder, duty * (1 + _HYSTERESIS), demand.frames)
    if down > level:
        since = now_s if ease.down_since_s is None else ease.down_since_s
        here, there = (_value(ladder.steps[number], duty, demand.frames) for number in (level, down))
        if now_s - (ease.moved_s if there >= _CLEARLY * here else since) >= _DOWN_S:
            return _dropped(ease, now_s), down
        return replace(ease, down_since_s=since, up_since_s=None), level
    lasts = min(duty, lasting)
    surely = _best(ladder, lasts * (1 - _HYSTERESIS), demand.frames)
    up = surely if surely < level else _best(ladder, duty * (1 - _HYSTERESIS), demand.frames)
    if up >= level:
        return replace(ease, down_since_s=None, up_since_s=None), level
    since = now_s if ease.up_since_s is None else ease.up_since_s
    ease = replace(ease, down_since_s=None, up_since_s=since)
    wait_s = _PATIENT_S * (1 + ease.failed)
    if _best(ladder, lasts * _ROOM, demand.frames) < level:
        wait_s = _UP_S
    elif surely < level:
        wait_s = _UP_S * float(_BACK_OFF**ease.failed)
    if now_s - since < _UP_S or now_s - ease.moved_s < wait_s:
        return ease, level
    return Ease(moved_s=now_s, raised_s=now_s, failed=ease.failed), up


def _dropped(ease: Ease, now_s: float) -> Ease:
    """The ease after a move down, which shows whether the last move up was too early."""
    failed = ease.failed
    if ease.raised_s is not None:
        kept_s = now_s - ease.raised_s
        failed = min(failed + 1, _MAX_FAILED) if kept_s < _FAILURE_S else max(0, failed - int(kept_s / _FAILURE_S))
    return Ease(moved_s=now_s, failed=failed)


def _best(ladder: Ladder, duty: float, frames: float) -> int:
    """The level that is worth most at this duty for cameras that send so many frames; never the last one."""
    sizes = range(ladder.sizes)
    duty = max(duty, 1e-6)
    best = max(sizes, key=lambda number: (_value(ladder.steps[number], duty, frames), -number))
    if best < sizes[-1] or duty >= frames * ladder.steps[best].cost * _SLACK:
        return best
    fewer = range(best, ladder.last)
    return next((number for number in fewer if ladder.steps[number].heat <= duty / _SLACK), ladder.last - 1)


def _value(step: Step, duty: float, frames: float) -> float:
    """What the cameras' frames are worth at this duty: all of them at level 0 are worth `frames`."""
    if not step.limits.admit:
        return 0.0
    return step.worth * min(frames, duty / step.cost)
