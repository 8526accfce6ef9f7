"""Whether a camera keeps to its limits.

Rules of this file:
- A camera owes an interval, not a schedule: a frame may be early by an interval and a network's jitter, and the next
  ones late. What counts is that frames do not come faster in the long run.
- A longer interval counts once the camera can have heard of it. Frames that were under way, or due by the interval
  before, are no fault of the camera.
"""

from __future__ import annotations

_LENIENCE = 0.85
"""A camera that sends at this part of its interval still keeps to it: clocks are not exact."""
_JITTER_S = 0.25
_FORGIVEN_S = 5.0
_PROMPT, _PROMPT_S = 1.25, 0.02
"""A frame within this part of the interval, or so soon after it, was sent as soon as it was allowed."""
_SMOOTH = 0.2
_KNOWN = 8
NEEDED_PART = 0.8
"""Part of the time between its frames that is kept for a camera that sends less often than it may."""
HEARD_S = 1.5
"""Time after which a camera counts as having heard of its new limits, s."""


class Obedience:
    """Compares the times of one camera's frames with the intervals that were announced to it."""

    __slots__ = (
        "_announced_s",
        "_broken_s",
        "_due_s",
        "_former_s",
        "_gap_s",
        "_gaps",
        "_interval_s",
        "_last_s",
        "_prompt",
    )

    def __init__(self) -> None:
        self._interval_s: float | None = None
        self._former_s = 0.0
        self._announced_s = float("-inf")
        self._due_s = float("-inf")
        self._broken_s = float("-inf")
        self._last_s = float("-inf")
        self._gap_s = 0.0
        self._gaps = 0
        self._prompt = 0.0
        """Part of its frames that were sent as soon as they were allowed, moving average."""

    def announce(self, interval_s: float, now_s: float) -> None:
        """Record that a new interval is being announced to the camera."""
        before_s = self.interval_s(now_s)
        self._former_s = interval_s if before_s is None else before_s
        self._interval_s, self._announced_s = interval_s, now_s
        self._due_s = min(self._due_s, now_s + interval_s)

    def interval_s(self, now_s: float) -> float | None:
        """The interval that the camera has to keep, s; None: none was announced."""
        if self._interval_s is not None and now_s - self._announced_s < HEARD_S:
            return min(self._former_s, self._interval_s)
        return self._interval_s

    def frame(self, now_s: float) -> None:
        """Record a frame."""
        interval_s = self.interval_s(now_s)
        if interval_s is None:
            return
        gap_s = now_s - self._last_s
        if gap_s < float("inf"):
            self._gap_s += (gap_s - self._gap_s) / min(_KNOWN, self._gaps + 1)
            self._gaps += 1
        prompt = gap_s <= max(interval_s * _PROMPT, interval_s + _PROMPT_S)
        self._prompt += _SMOOTH * (prompt - self._prompt)
        self._last_s = now_s
        if now_s < self._due_s - interval_s - _JITTER_S:
            self._broken_s = now_s
        else:
            self._due_s = max(self._due_s, now_s) + interval_s * _LENIENCE

    def holds(self, now_s: float) -> bool:
        """Whether the camera has kept to its limits lately; true if none were announced."""
        return now_s - self._broken_s >= max(_FORGIVEN_S, 2 * (self._interval_s or 0.0))

    @property
    def wants_more(self) -> bool:
        """Whether the camera sends as soon as it is allowed, so that a shorter interval would make a difference."""
        return self._prompt > 0.5

    @property
    def needed_s(self) -> float | None:
        """The interval that this camera needs, s; None: it needs all that it may have, or nothing is known."""
        return self._gap_s * NEEDED_PART if self._gaps >= _KNOWN and not self.wants_more else None
