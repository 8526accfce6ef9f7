"""A camera's frame rate: limited, and measured."""

from __future__ import annotations

_RATE_WINDOW_S = 5.0
_WHOLE = 1.0 - 1e-9


class FrameRateLimiter:
    """Allows one frame per interval on average, and `burst` in a row.

    There is no timer: the level is computed on use.
    """

    __slots__ = ("_burst", "_filled_s", "_tokens")

    def __init__(self, burst: int) -> None:
        self._burst = float(burst)
        self._tokens = float(burst)
        self._filled_s: float | None = None

    def take(self, now_s: float, interval_s: float) -> float:
        """Take a token: 0.0 if there is one, otherwise the time until there is, s."""
        if interval_s <= 0:
            return 0.0
        self._tokens, self._filled_s = self._level(now_s, interval_s), now_s
        if self._tokens >= _WHOLE:
            self._tokens -= 1.0
            return 0.0
        return (1.0 - self._tokens) * interval_s

    def wait_s(self, now_s: float, interval_s: float) -> float:
        """What `take` would return now."""
        level = 1.0 if interval_s <= 0 else self._level(now_s, interval_s)
        return 0.0 if level >= _WHOLE else (1.0 - level) * interval_s

    def _level(self, now_s: float, interval_s: float) -> float:
        if self._filled_s is None:
            return self._tokens
        return min(self._burst, self._tokens + (now_s - self._filled_s) / interval_s)


class Rate:
    """Events per second over the last few seconds, from two counters."""

    __slots__ = ("_count", "_former", "_since_s")

    def __init__(self) -> None:
        self._count, self._former, self._since_s = 0, 0.0, 0.0

    def tick(self, now_s: float, events: int = 1) -> None:
        self._roll(now_s)
        self._count += events

    def per_second(self, now_s: float) -> float:
        self._roll(now_s)
        part = (now_s - self._since_s) / _RATE_WINDOW_S
        return (self._former * (1 - part) * _RATE_WINDOW_S + self._count) / _RATE_WINDOW_S

    def _roll(self, now_s: float) -> None:
        passed = now_s - self._since_s
        if passed >= _RATE_WINDOW_S:
            self._former = self._count / _RATE_WINDOW_S if passed < 2 * _RATE_WINDOW_S else 0.0
            self._count, self._since_s = 0, now_s
