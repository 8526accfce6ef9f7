"""Decide when a camera is sent new limits: seldom, and never too late for one that keeps to them.

Rules of this file:
- A longer interval is announced at once, because the engine's time for a shorter one is not there. A shorter one can
  wait, so that limits do not flutter.
- A hot device trims its duty every second. Shares are announced from a smoothed duty, with some headroom, and each
  camera has a budget of announcements for small improvements.
- A share of little is little: where only a few percent of the engine's time are left, a share that doubles is no reason
  for haste.
- A camera that sends less often than it may need not hear of a change.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp

from appliance.values import CameraLimits

_NO_PROBLEM = ("normal", "fair_share")
_HEADROOM, _SCARCE_HEADROOM = 1.02, 1.08
"""On a hot device, a share is announced as an interval this much longer, so that small changes fit in; the second to a
camera that was sent many."""
_CALM_S, _LESS, _MORE = 120.0, 0.92, 1.25
"""Shares are announced from the duty smoothed over this time; what is beyond these parts of it counts at once."""
_SPARE, _SPARE_S = 3.0, 450.0
"""Announcements that a camera may be sent in a row, and seconds until there is one more: eight an hour."""
_RESERVE, _SCARCE = 2.0, 1.0
"""While a camera may be sent so many, small improvements are announced too; with less than the second, few are left."""
_PROVEN = 1.02
"""Once waits or idle time have changed the capacity, a share is announced from this change on."""
_LEAST_S = 1e-3
"""Shorter differences are never announced, s."""
_SLIGHT, _MOST_SLIGHT = 0.03, 0.6
"""Part of the engine's time that is too little to be announced: as heat it is less than many a sensor shows. And the
most of that relative to the duty."""


@dataclass(frozen=True, slots=True)
class _Band:
    """How far a share may be from what was announced."""

    longer: float
    """A share this many times as long is announced at once: the engine's time is not there."""
    shorter: tuple[tuple[float, float], ...]
    """A share that is shorter by this factor is announced after so many seconds."""


_COOL = _Band(1.2, ((1.8, 5.0), (1.2, 15.0), (1.015, 300.0)))
_HOT = _Band(1.08, ((2.0, 3.0), (1.35, 360.0), (1.15, 900.0), (1.07, 1800.0)))
_HOT_SLIGHT = replace(_HOT, shorter=_HOT.shorter[1:])
"""For what is little of the engine's time, whatever part of the camera's share it is."""
_HOT_SPARE = _Band(1.08, ((2.0, 3.0), (1.07, 120.0)))


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What decides whether one camera is sent new limits, apart from the limits themselves."""

    hot: bool
    """The device uses part of its time only."""
    floor_s: float
    """The camera's minimum interval, s."""
    duty: float = 1.0
    """The duty that the limits are computed from, 0-1."""
    needed_s: float | None = None
    """The interval of a camera that sends less often than it may, s; None: it needs all that it may have."""
    trend: int = 0
    """1 if more, -1 if less capacity than before has just been found."""


class Announcements:
    """What one camera was sent last, and how many announcements it may still be sent. All times are monotonic, s."""

    __slots__ = ("_spare", "at_s", "limits")

    def __init__(self) -> None:
        self.limits: CameraLimits | None = None
        """The limits that it was sent last; None: none."""
        self.at_s = float("-inf")
        self._spare = _SPARE

    def spare(self, now_s: float) -> float:
        """How many announcements it may be sent; negative after many that could not wait."""
        return min(_SPARE, self._spare + (now_s - self.at_s) / _SPARE_S)

    def record(self, limits: CameraLimits, now_s: float) -> None:
        """Record that these limits are being sent."""
        self._spare = self.spare(now_s) - 1
        self.limits, self.at_s = limits, now_s

    def due(self, limits: CameraLimits, now_s: float, present: Circumstances) -> CameraLimits | None:
        """The limits to send now, if these apply; None: what it has is near enough, or it was never sent any."""
        before = self.limits
        if before is None:
            return None
        # A small change of the interval is not announced, nor is a new reason alone: only that the last one ended.
        same = replace(limits, min_interval_s=before.min_interval_s, reason=before.reason) == before
        over = limits.reason in _NO_PROBLEM and before.reason not in _NO_PROBLEM
        spare = self.spare(now_s)
        if same and not over and not _is_due(
            before.min_interval_s, limits.min_interval_s, now_s - self.at_s, spare, present
        ):  # fmt: skip
            return None
        if present.hot and limits.min_interval_s > present.floor_s:
            headroom = _HEADROOM if spare >= _SCARCE else max(_SCARCE_HEADROOM, 1 + _slight(present.duty) / 2)
            return replace(limits, min_interval_s=round(limits.min_interval_s * headroom, 4))
        return limits


def _is_due(announced_s: float, share_s: float, age_s: float, spare: float, present: Circumstances) -> bool:
    """Whether the share has left the band around the interval that was announced `age_s` seconds ago."""
    hot, needed_s = present.hot, present.needed_s
    if hot and needed_s is not None and needed_s >= max(announced_s, share_s):
        return False
    if present.trend < 0 and share_s > announced_s * _PROVEN:
        return True
    if present.trend > 0 and not hot and announced_s > share_s * _PROVEN:
        return True
    band = _COOL if not hot else _HOT_SPARE if spare >= _RESERVE else _HOT
    if share_s > announced_s * max(band.longer, 1 + _slight(present.duty)) + _LEAST_S:
        return True
    if band is _HOT and present.duty * (1 - share_s / announced_s) < _SLIGHT:
        band = _HOT_SLIGHT
    return any(announced_s > share_s * factor + _LEAST_S and age_s >= wait_s for factor, wait_s in band.shorter)


def calm_duty(calm: float, duty: float, passed_s: float) -> float:
    """The duty to announce shares from, after another one: the governor trims its own every second."""
    least, most = min(_LESS * calm, calm - _SLIGHT), max(_MORE * calm, calm + 2 * _SLIGHT)
    if duty >= 1.0 or not least <= duty <= most:
        return duty
    return duty + (calm - duty) * exp(-passed_s / _CALM_S)


def _slight(duty: float) -> float:
    """What is too little to be announced, relative to this duty."""
    return min(_MOST_SLIGHT, _SLIGHT / max(duty, 1e-6))
