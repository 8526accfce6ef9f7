"""The cap on the duty while the board itself complains: a throttled chip, or a weak power supply.

Rules of this file:
- While the board complains, the cap falls every 10 s from what is used; it rises again after a time without complaints,
  which doubles each time that was too early.
- A chip that is throttled while it is hot lowers the target instead, below the highest temperature it had lately: once,
  and again if the complaint lasts for a minute. The temperature that it falls to while it is throttled says nothing.
- A board that reports its trip point is believed: one complaint lowers the target by two degrees at most. Sensors lag,
  and firmware throttles for reasons of its own.
- A chip that others heat while this service is idle says nothing about the target. A lower target is forgotten slowly.
- A chip that is slow, on a board that reports neither that nor its trip point, is only suspected of being too hot. Its
  target falls by a few degrees, or its duty for some minutes. If it is as slow then, something else slows it: both
  return, and slowness counts no more for hours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from appliance.readings import Power, Reading

_FACTOR = 0.7
_LEAST = 0.01
_AGAIN_S = 30.0
_QUIET_S = 75.0
_FAILURE_S = 900.0
_EXPIRY_S = 3600.0
_MAX_FAILURES = 4
_BELOW_C = 1.5
_LEAST_CEILING_C = 60.0
"""A chip that is throttled when cooler than this is throttled for another reason than its heat."""
_FORGET_C_S = 2.0 / 3600
_COOLING_C_S, _PERSISTS_S = 0.1, 60.0
"""How quickly the highest temperature of late is forgotten, and how long a complaint lasts before it counts again."""
_MOST_LOWER_C = 2.0
_IDLE = 0.05
"""Part of what the engine could do below which this service does not heat the chip."""
_SUSPECTED_C, _SUSPECTED_S = 5.0, 6 * 3600.0
"""How much cooler a chip is that firmware does not throttle any more, and how long a suspicion is remembered."""
_FAR_BELOW_C = 10.0
"""This far below the board's throttling temperature, a chip is slow for another reason than heat."""
_PROOF_S = 150.0
"""How long a chip that is not hot gets less work, to see whether it becomes faster."""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """That a chip, of which no more is known than that it is slow, is too hot."""

    since_s: float
    temp_c: float
    """Its highest temperature when it began, °C."""
    ceiling_c: float
    """The ceiling before it."""
    dismissed: bool = False


@dataclass(frozen=True, slots=True)
class Cap:
    """What the board's own complaints allow."""

    duty: float = 1.0
    reason: str | None = None
    """`throttled`, `under_voltage`; None: no cap."""
    at_s: float = float("-inf")
    """Time of the last step, either way."""
    seen_s: float = float("-inf")
    """Time of the last complaint."""
    raised_s: float | None = None
    """Time of the last step up; None: a complaint has followed it."""
    failed: int = 0
    ceiling_c: float = float("inf")
    hottest_c: float = float("-inf")
    """The highest temperature of late, °C."""
    lowered_s: float = float("-inf")
    """When the ceiling was lowered last."""
    updated_s: float | None = None
    events: int | None = None
    suspicion: Suspicion | None = None


def next_cap(
    cap: Cap, complaint: str | None, events: int | None, now_s: float, temp_c: float | None, used: float,
    target_c: float | None = None, *, reported: bool = True,
) -> Cap:  # fmt: skip
    """Return the cap after one more reading.

    `events`: throttle events so far. `temp_c`: the chip's temperature. `used`: part of what the engine could do that
    this service uses, 0-1. `target_c`: the target that follows from the board's own trip point; None: it reports none.
    `reported`: the complaint is the board's own; otherwise the chip is slow, and no more is known.
    """
    step_s = now_s - cap.updated_s if cap.updated_s is not None else 0.0
    hottest_c = max(temp_c if temp_c is not None else float("-inf"), cap.hottest_c - _COOLING_C_S * step_s)
    ceiling_c = cap.ceiling_c + _FORGET_C_S * step_s
    cap = replace(cap, events=events, updated_s=now_s, ceiling_c=ceiling_c, hottest_c=hottest_c)
    if complaint is None:
        return _quiet(cap, now_s)
    if not reported and temp_c is not None and target_c is None:
        suspicion = _suspicion(cap, now_s)
        cap = replace(cap, suspicion=suspicion)
        if suspicion.dismissed:
            return _quiet(replace(cap, ceiling_c=max(ceiling_c, suspicion.ceiling_c)), now_s)
    if complaint == "throttled" and temp_c is not None and hottest_c >= _LEAST_CEILING_C:
        cap = replace(cap, seen_s=now_s)
        return cap if used < _IDLE else _lowered(cap, now_s, target_c)
    if now_s - cap.at_s < _AGAIN_S and cap.raised_s is None:
        return replace(cap, seen_s=now_s)
    failed = cap.failed
    if cap.raised_s is not None:
        kept_s = now_s - cap.raised_s
        failed = min(failed + 1, _MAX_FAILURES) if kept_s < _FAILURE_S else max(0, failed - int(kept_s / _EXPIRY_S))
    duty = max(_LEAST, min(cap.duty, max(used, 0.1)) * _FACTOR)
    return replace(cap, duty=duty, reason=complaint, at_s=now_s, seen_s=now_s, raised_s=None, failed=failed)


def _suspicion(cap: Cap, now_s: float) -> Suspicion:
    """The suspicion after one more reading: dismissed if the chip is as slow with less load."""
    suspicion = cap.suspicion
    if suspicion is None or now_s - suspicion.since_s > _SUSPECTED_S:
        return Suspicion(now_s, cap.hottest_c, cap.ceiling_c)
    cooler = cap.hottest_c <= suspicion.temp_c - _SUSPECTED_C
    slowed = cap.hottest_c < _LEAST_CEILING_C and now_s - suspicion.since_s > _PROOF_S
    if suspicion.dismissed or not (cooler or slowed):
        return suspicion
    return replace(suspicion, dismissed=True, since_s=now_s)


def _lowered(cap: Cap, now_s: float, target_c: float | None) -> Cap:
    """The cap with a lower ceiling, unless the same complaint has just lowered it."""
    if now_s - cap.lowered_s < _PERSISTS_S:
        return cap
    least_c = min(cap.ceiling_c, target_c) - _MOST_LOWER_C if target_c is not None else float("-inf")
    ceiling_c = min(cap.ceiling_c, max(cap.hottest_c - _BELOW_C, least_c))
    return replace(cap, ceiling_c=ceiling_c, lowered_s=now_s)


def _quiet(cap: Cap, now_s: float) -> Cap:
    wait_s = _QUIET_S * float(2**cap.failed) if cap.raised_s is None else _AGAIN_S
    if cap.reason is None or now_s - max(cap.at_s, cap.seen_s) < wait_s:
        return cap
    duty = min(1.0, cap.duty / _FACTOR)
    return replace(cap, duty=duty, reason=cap.reason if duty < 1.0 else None, at_s=now_s, raised_s=now_s)


def complaint_of(power: Power, events_before: int | None) -> str | None:
    """Why the board is throttled now; None: it is not. The soft limit of a Raspberry Pi 3 at 60 °C is normal operation
    and does not count."""
    if power.under_voltage:
        return "under_voltage"
    more = power.throttle_events is not None and events_before is not None and power.throttle_events > events_before
    return "throttled" if power.throttled or power.frequency_capped or more else None


def suspected_of(reading: Reading, lately_c: float, *, had_sensor: bool) -> str | None:
    """What the board may have reason to complain of although it does not: its chip is slow, and may be so hot that less
    load helps. `lately_c`: its temperature of late, if that is known."""
    thermal, doubts = reading.thermal, reading.doubts
    if not doubts.slowed:
        return None
    if thermal.soc_temp_c is None:  # a machine that never had a sensor (a VM) shows nothing of the kind
        may_be_heat = had_sensor or doubts.stuck_temp_c is not None
    else:
        may_be_heat = thermal.passive_temp_c is None or lately_c >= thermal.passive_temp_c - _FAR_BELOW_C
    return "throttled" if may_be_heat else None
