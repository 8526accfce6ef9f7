"""Bursts of other programs: the duty that was right before one is right after it.

Rules of this file:
- A burst begins when others' use of the CPU jumps, and ends when it is back. Ten minutes later it is no burst any more.
- What is allowed after a burst is still limited by the heat model. Only the wait is saved with which the duty rises
  otherwise, because sensors are noisy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from appliance.governor.heat import SUDDEN

_BACK = 0.1
"""Others' use that is within this of what it was before is back."""
_OVER_S, _EXPIRY_S = 20.0, 600.0
"""For how long the duty may return after a burst, and the longest burst."""


@dataclass(frozen=True, slots=True)
class Burst:
    """A burst of other programs."""

    since_s: float
    others: float
    """Others' use of the CPU before it, 0-1."""
    duty: float
    """The duty before it, 0-1."""
    over_s: float | None = None
    """When it was over; None: it is not."""


def next_burst(burst: Burst | None, others: float | None, before: float, duty: float, now_s: float) -> Burst | None:
    """Return the burst after one more reading; None: there is none. `others`: CPU use by other programs, 0-1, now, and
    `before`: smoothed, up to the last reading; `duty`: what was allowed until now."""
    if others is None:
        return None
    if burst is not None and (now_s - burst.since_s > _EXPIRY_S or _long_over(burst, now_s)):
        burst = None
    if others - before > SUDDEN:
        if burst is None:
            return Burst(now_s, before, duty)
        if burst.over_s is not None:
            return Burst(now_s, burst.others, max(duty, burst.duty))
    if burst is not None and burst.over_s is None and others <= burst.others + _BACK:
        return replace(burst, over_s=now_s)
    return burst


def returning(burst: Burst | None) -> float:
    """The duty to return to at once, as far as the heat model allows, 0-1."""
    return 0.0 if burst is None or burst.over_s is None else burst.duty


def _long_over(burst: Burst, now_s: float) -> bool:
    return burst.over_s is not None and now_s - burst.over_s > _OVER_S
