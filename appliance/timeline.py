"""The duration of each step of a start."""

from __future__ import annotations

from collections.abc import Callable

Mark = Callable[[str], None]
"""Marks the named step of the start as done."""


def unmarked(step: str) -> None:
    """Do nothing, for a start that is not timed."""


class Timeline:
    """The duration of consecutive steps, each from the end of the previous one. `begun_s`: start, by the same clock."""

    def __init__(self, clock: Callable[[], float], begun_s: float) -> None:
        self._clock, self._begun_s, self._last_s = clock, begun_s, begun_s
        self._steps: list[tuple[str, float]] = []

    def mark(self, step: str) -> None:
        now_s = self._clock()
        self._steps.append((step, now_s - self._last_s))
        self._last_s = now_s

    @property
    def total_s(self) -> float:
        """Time until the last mark."""
        return self._last_s - self._begun_s

    def __str__(self) -> str:
        """Format as `imports 0.45 s, model 0.08 s`."""
        return ", ".join(f"{step} {seconds:.2f} s" for step, seconds in self._steps)
