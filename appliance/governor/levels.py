"""Which throttle level goes with a duty: what cameras and technicians see, and therefore slow.

Rules of this file:
- The cameras' frames at a size need a part of the engine's time (demand.py); a level is left only when the duty no
  longer covers what they need.
- Down (less work, a higher level) at once when another size is worth clearly more at this duty, else after seconds. In
  a burst of another program always after seconds: most are over by then.
- Up when the heat model forecasts that the duty lasts, after seconds; without its consent after minutes. A move up that
  had to be reversed makes the next one wait longer, so that a device between two levels alternates rarely; unless the
  forecast is clearly better than the one that was wrong, for then what was the matter is over.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from appliance.governor.demand import CameraDemand
from appliance.governor.ladder import Ladder, Step

_DOWN_S, _UP_S, _PATIENT_S = 10.0, 20.0, 600.0
_CLEARLY = 1.15
"""A level that is worth this much more is used without waiting."""
_HYSTERESIS = 0.04
_ROOM, _LESS_ROOM = 0.85, 0.06
"""With this part of the duty that lasts, a move up is certain; with less of it after each that was reversed soon."""
_BACK_OFF, _MAX_FAILED, _FAILURE_S = 3, 4, 900.0
_CLEARLY_BETTER = 1.15
"""A forecast that is so much better than one that was wrong."""
_SLACK = 0.98


@dataclass(frozen=True, slots=True)
class Ease:
    """How long another level has been better."""

    down_since_s: float | None = None
    up_since_s: float | None = None
    sure_since_s: float | None = None
    """How long the heat model has forecast that another level up lasts."""
    moved_s: float = float("-inf")
    """Time of the last move."""
    raised_s: float | None = None
    """Time of the last move up; None: a move down has followed it."""
    failed: int = 0
    """How many moves up were reversed soon."""
    forecast: float = 0.0
    """The part of the engine's time that was to last at the last move up; 0 where no forecast led to it."""
    wrong: float = 0.0
    """The largest such forecast of the moves up that were reversed soon."""


def next_level(
    ease: Ease, level: int, duty: float, lasting: float, demand: CameraDemand, ladder: Ladder, now_s: float, *,
    burst: bool = False,
) -> tuple[Ease, int]:  # fmt: skip
    """Return the level for this duty, and for the duty that lasts in this weather (0-1 each). `burst`: another program
    has begun to work, or has just stopped."""
    level = min(level, ladder.last)
    down = _best(ladder, duty * (1 + _HYSTERESIS), demand.frames)
    if down > level:
        since = now_s if ease.down_since_s is None else ease.down_since_s
        here, there = (_value(ladder.steps[number], duty, demand.frames) for number in (level, down))
        at_once = there >= _CLEARLY * here and not burst
        if now_s - (ease.moved_s if at_once else since) >= _DOWN_S:
            return _dropped(ease, now_s), down
        return replace(ease, down_since_s=since, up_since_s=None, sure_since_s=None), level
    lasts = min(duty, lasting)
    surely = _best(ladder, lasts * (1 - _HYSTERESIS), demand.frames)
    up = surely if surely < level else _best(ladder, duty * (1 - _HYSTERESIS), demand.frames)
    if up >= level:
        return replace(ease, down_since_s=None, up_since_s=None, sure_since_s=None), level
    since = now_s if ease.up_since_s is None else ease.up_since_s
    sure_since = None if surely >= level else now_s if ease.sure_since_s is None else ease.sure_since_s
    ease = replace(ease, down_since_s=None, up_since_s=since, sure_since_s=sure_since)
    if now_s - since < _UP_S or now_s - ease.moved_s < _UP_S:
        return ease, level
    wait_s = _PATIENT_S * (1 + ease.failed)
    if _best(ladder, lasts * (_ROOM - _LESS_ROOM * ease.failed), demand.frames) < level:
        wait_s = _UP_S
    elif surely < level:
        wait_s = _UP_S * float(_BACK_OFF**ease.failed)
    held_s = 0.0 if sure_since is None else now_s - sure_since
    better = held_s >= _UP_S * (1 + ease.failed) and lasts >= _CLEARLY_BETTER * ease.wrong
    if not better and now_s - ease.moved_s < wait_s:
        return ease, level
    forecast = lasts if held_s >= _UP_S else 0.0
    return Ease(moved_s=now_s, raised_s=now_s, failed=ease.failed, forecast=forecast, wrong=ease.wrong), up


def _dropped(ease: Ease, now_s: float) -> Ease:
    """The ease after a move down, which shows whether the last move up was too early."""
    failed, wrong = ease.failed, ease.wrong
    if ease.raised_s is not None:
        kept_s = now_s - ease.raised_s
        if kept_s < _FAILURE_S:
            failed, wrong = min(failed + 1, _MAX_FAILED), max(wrong, ease.forecast)
        else:
            failed = max(0, failed - int(kept_s / _FAILURE_S))
    return Ease(moved_s=now_s, failed=failed, wrong=wrong if failed else 0.0)


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
