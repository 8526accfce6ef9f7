"""What the cameras ask for, and how much of the CPU the engine uses for it.

Rules of this file:
- What the cameras ask for is known while they leave a part of the duty unused.
- Whether they leave a part unused shows in the engine's own busy time, where the reading contains it. Otherwise it has
  to be inferred from CPU use: an engine that uses half of the CPU at full duty (a GPU does the work, or it has few
  threads) looks like cameras that send little. The difference shows when the duty changes: what it limits follows it.
- So while the chip is clearly below its target for no other reason, a little more duty than the estimate allows is
  tried. If the use follows, the engine uses less than was assumed; if not, the next try comes later.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from appliance.governor.heat import towards

_SATURATED, _FULLY, _AS_BEFORE = 0.65, 0.93, 0.1
"""Cameras that use the first part of the duty might use more: those that keep to their limits leave a part unused.
Below the second part, those that send what they sent when nothing limited them, to within the third, do not."""
_HEADROOM = 0.85
_SETTLE_S = 60.0
_KNOWN_S, _MORE_S = 12 * 3600.0, 20.0
_AVERAGE_S, _SLOW_S = 20.0, 60.0
_LEAST, _LEAST_DUTY = 0.02, 0.04
_CROWDED = 0.1
"""With less idle time, others leave the engine less than it would use."""
_NOISE_BUSY = 0.002
"""Busy time that shows nothing of the use at full duty. Between this and the least duty, it is learned more slowly."""
_VARIED, _FOLLOWED, _SAME_SIZE = 0.12, 0.04, 0.1
"""Use that follows a duty that changed by the first part, to within the second, is limited by it."""
_ABOVE, _NOISE, _NOISE_PART = 1.1, 0.03, 0.05
"""More use than this at a duty shows at once that the engine uses more than was known."""
_DOWN_S = 10.0
"""How long the demand takes to rise from nothing to all where the duty limits the cameras."""
_TRY, _TRY_S, _TRY_FOLLOWED, _STEADY = 0.85, 75.0, 0.5, 0.04
"""A try assumes this part of the use for so long. If the use follows the duty by the third part, twice in a row, the
duty limits it. It has to have been steady before, to within the fourth."""
_FIRST_TRY_S, _NEXT_TRY_S, _MOST_FAILED = 30.0, 60.0, 6
_ROOM_C = 1.2
_SUSPICIOUS = 0.8
"""Cameras that keep to their limits use more of the duty than this, if it is what limits them."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """More duty than the estimate allows, for a while, to see whether the use follows."""

    since_s: float = 0.0
    """Seconds since it began, or since the last one ended."""
    before: tuple[float, float] | None = None
    """Use and duty before it; None: none is under way."""
    failed: int = 0
    """How many in a row the use did not follow."""
    followed: bool = False
    """Whether the use followed the last one."""


@dataclass(frozen=True, slots=True)
class CameraDemand:
    """What the cameras ask for, and what the engine uses."""

    frames: float = 1.0
    """Frames that the cameras send, relative to what a cool device processes at full size, 0-1."""
    sent: float = 0.0
    sure: float = 1.0
    """Frames of theirs that were processed, and those when nothing limited them, both smoothed; where the engine's busy
    time is known."""
    use_at_full: float = 1.0
    """CPU use by this service at full duty, 0-1."""
    own: float = 0.0
    duty: float = 0.0
    """CPU use by this service, and the duty, both smoothed; 0-1."""
    own_slow: float = 0.0
    """CPU use by this service, smoothed over a longer time."""
    busy: float = 0.0
    """Part of the engine's time that was used, smoothed, 0-1; where it is known."""
    idle: float = 1.0
    """CPU time that nobody uses, smoothed, 0-1."""
    mark: tuple[float, float] | None = None
    """Use and duty at an earlier time at this size."""
    cost: float = 1.0
    attempt: Attempt = Attempt()

    @property
    def at_full_now(self) -> float:
        """What the present use would be at full duty, if the duty limits it."""
        return self.own / max(self.duty, 0.001)

    @property
    def assumed_at_full(self) -> float:
        """CPU use at full duty that the duty is computed with."""
        return self.use_at_full * _TRY if self.attempt.before is not None else self.use_at_full

    def engine_use(self, own: float, busy: float | None) -> float:
        """Part of what the engine could do that is used, 0-1: an engine on a GPU uses little of the CPU. `own`: CPU use
        by this service; `busy`: part of the engine's time, where that is known; both 0-1 and now."""
        used = own / max(self.use_at_full, 0.01)
        return min(1.0, used if busy is None else max(self.busy, busy))


def next_demand(
    demand: CameraDemand, own: float, duty: float, cost: float, step_s: float, *,
    busy: float | None = None, room_c: float = 0.0, idle: float = 1.0,
) -> CameraDemand:  # fmt: skip
    """Update the demand: CPU use by this service (0-1), the duty that was allowed, and the engine time of a frame.

    `busy`: part of the engine's time that was used (0-1). `room_c`: how far the chip is below its target, °C.
    `idle`: CPU time that nobody uses (0-1).
    """
    demand = replace(
        demand, cost=cost, own=towards(demand.own, own, step_s, _AVERAGE_S),
        duty=towards(demand.duty, duty, step_s, _AVERAGE_S),
        own_slow=towards(demand.own_slow, own, step_s, _SLOW_S),
        mark=demand.mark if _alike(cost, demand.cost) else None,
    )  # fmt: skip
    if busy is not None:
        return _measured(demand, busy, step_s)
    demand = replace(demand, idle=towards(demand.idle, idle, step_s, _AVERAGE_S))
    demand = _estimated(demand, own, duty, step_s, room_c)
    full, ratio = demand.use_at_full, demand.at_full_now
    sent = min(1.0, demand.own / full / cost)
    return replace(demand, frames=_frames(demand.frames, sent, step_s, saturated=ratio >= _SATURATED * full))


def _frames(before: float, sent: float, step_s: float, *, saturated: bool, as_before: bool = False) -> float:
    """What the cameras send, after one more second of `sent`."""
    if saturated:
        return max(sent, min(1.0, before + step_s / (_KNOWN_S if as_before else _DOWN_S)))
    return max(sent, towards(before, sent, step_s, _SETTLE_S))


def _alike(cost: float, before: float) -> bool:
    return abs(cost / before - 1) < _SAME_SIZE


def _measured(demand: CameraDemand, busy: float, step_s: float) -> CameraDemand:
    """The demand where the engine's busy time is known."""
    busy_avg, full = towards(demand.busy, min(busy, 1.0), step_s, _AVERAGE_S), demand.use_at_full
    if busy_avg >= _NOISE_BUSY:
        found = demand.own / busy_avg
        if busy_avg >= _HEADROOM * demand.duty:  # cameras that keep to their limits use a little less than they may
            found = max(found * _HEADROOM, demand.own / max(demand.duty, busy_avg))
        settle_s = _SETTLE_S * max(1.0, _LEAST_DUTY / busy_avg)
        full = towards(full, min(1.0, max(_LEAST, found)), step_s, settle_s)
    sent, sure = towards(demand.sent, min(1.0, busy / demand.cost), step_s, _AVERAGE_S), demand.sure
    limited = busy_avg >= _SATURATED * demand.duty
    as_before = busy_avg < _FULLY * demand.duty and abs(sent - sure) <= _AS_BEFORE * sure
    return replace(
        demand, frames=_frames(demand.frames, sent, step_s, saturated=limited, as_before=as_before),
        sure=sure if limited else towards(sure, sent, step_s, _SETTLE_S),
        sent=sent, use_at_full=full, busy=busy_avg, attempt=Attempt(),
    )  # fmt: skip


def _estimated(demand: CameraDemand, own: float, duty: float, step_s: float, room_c: float) -> CameraDemand:
    """The demand with what CPU use says about the use at full duty."""
    own_avg, duty_avg, full = demand.own, demand.duty, demand.use_at_full
    ratio, mark, limited, assumed = demand.at_full_now, demand.mark, False, demand.assumed_at_full
    steady = abs(duty - duty_avg) < _VARIED / 2 * duty_avg and abs(own - own_avg) < _VARIED * own_avg
    if steady:
        mark, limited = _compared(mark, own_avg, duty_avg)
    attempt, followed = _attempted(demand, steady, room_c, step_s)
    if max(duty, duty_avg) < _NOISE_BUSY:
        pass  # detection is off: what is used is used for something else
    elif own > _ABOVE * assumed * max(duty, duty_avg) + _NOISE + _NOISE_PART * assumed:
        full = min(1.0, max(full, own / max(duty, duty_avg)))
        attempt = replace(attempt, since_s=0.0, before=None)
    elif duty_avg < _LEAST_DUTY or demand.idle < _CROWDED:
        pass
    elif limited or followed:
        full = min(1.0, max(_LEAST, ratio, full - (full - ratio) / 2))
    elif ratio >= _FULLY * full:
        full = min(1.0, max(full, towards(full, ratio, step_s, _MORE_S)))
    else:
        full = max(_LEAST, towards(full, ratio, step_s, _KNOWN_S))
    return replace(demand, use_at_full=full, mark=mark, attempt=attempt)


def _compared(mark: tuple[float, float] | None, own: float, duty: float) -> tuple[tuple[float, float], bool]:
    """Compare use and duty with what they were; return what to compare with next, and whether the duty limits the use:
    cameras that send less use the same at any duty."""
    if mark is None or min(mark) < _LEAST_DUTY or duty < _LEAST_DUTY:
        return (own, duty), False
    change = duty / mark[1]
    if abs(change - 1) < _VARIED:
        return mark, False
    return (own, duty), abs(own / mark[0] - change) < _FOLLOWED


def _attempted(demand: CameraDemand, steady: bool, room_c: float, step_s: float) -> tuple[Attempt, bool]:
    """The attempt after one more second, and whether the use has just followed it."""
    attempt = replace(demand.attempt, since_s=demand.attempt.since_s + step_s)
    if attempt.before is None:
        wait_s = _FIRST_TRY_S if not attempt.failed else _NEXT_TRY_S * 2.0**attempt.failed
        unused = _FULLY if attempt.followed else _SUSPICIOUS
        worth_it = (
            room_c > _ROOM_C and _LEAST_DUTY < demand.duty < _FULLY and demand.at_full_now < unused * demand.use_at_full
        )
        steady = steady and abs(demand.own - demand.own_slow) < _STEADY * demand.own
        if worth_it and steady and attempt.since_s >= wait_s:
            return replace(attempt, since_s=0.0, before=(demand.own, demand.duty)), False
        return attempt, False
    over = replace(attempt, since_s=0.0, before=None)
    if room_c < _ROOM_C / 2:  # the chip is where it should be, whatever the use at full duty is
        return over, False
    if attempt.since_s < _TRY_S:
        return attempt, False
    own, duty = attempt.before
    more = demand.duty / duty - 1
    if more < _VARIED / 2:  # something else limits the duty
        return over, False
    if demand.own / max(own, 0.001) - 1 >= _TRY_FOLLOWED * more:
        return Attempt(followed=True), attempt.followed
    return Attempt(failed=min(attempt.failed + 1, _MOST_FAILED)), False
