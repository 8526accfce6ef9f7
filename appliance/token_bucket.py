"""A token bucket: limits a rate, and allows a burst."""

from __future__ import annotations

from collections.abc import Callable


class TokenBucket:
    """Refills with `per_s` tokens a second up to `burst`; full at the start."""

    __slots__ = ("_burst", "_clock", "_filled_s", "_level", "_per_s")

    def __init__(self, burst: float, per_s: float, clock: Callable[[], float]) -> None:
        self._burst, self._per_s, self._clock = burst, per_s, clock
        self._level, self._filled_s = burst, clock()

    def take(self, count: float = 1) -> float:
        """Take tokens, also if there are too few; returns the seconds to wait until the debt is refilled."""
        now = self._clock()
        self._level = min(self._burst, self._level + (now - self._filled_s) * self._per_s) - count
        self._filled_s = now
        return max(0.0, -self._level / self._per_s)

    def take_if_any(self) -> bool:
        """Take one token if there is a whole one; returns whether it was taken."""
        if self._current() < 1:
            return False
        self.take()
        return True

    @property
    def wait_s(self) -> float:
        """Seconds until the debt is refilled."""
        return max(0.0, -self._current() / self._per_s)

    @property
    def is_full(self) -> bool:
        """Whether a new bucket would behave the same."""
        return self._current() >= self._burst

    def _current(self) -> float:
        return self._level + (self._clock() - self._filled_s) * self._per_s
