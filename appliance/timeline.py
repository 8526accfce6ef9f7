"""Where the time of a start goes, step by step."""

from __future__ import annotations

from collections.abc import Callable

Mark = Callable[[str], None]
"""A step of the start, named, is done now."""


def unmarked(step: str) -> None:
    """For a start that nobody times."""


class Timeline:
    """Steps that follow one another, each from the end of the one before it. `begun_s`: by the same clock."""

    def __init__(self, clock: Callable[[], float], begun_s: float) -> None:
        self._clock, self._begun_s, self._last_s = clock, begun_s, begun_s
        self._steps: list[tuple[str, float]] = []

    def mark(self, step: str) -> None:
        now_s = self._clock()
        self._steps.append((step, now_s - self._last_s))
        self._last_s = now_s

    @property
    def total_s(self) -> float:
        """Until the last mark."""
        return self._last_s - self._begun_s

    def __str__(self) -> str:
        """`imports 0.45 s, model 0.08 s`."""
        return ", ".join(f"{step} {seconds:.2f} s" for step, seconds in self._steps)
