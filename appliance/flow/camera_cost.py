"""The engine time of a frame at each input size, learned as frames are processed."""

from __future__ import annotations

_SMOOTH = 0.1
_MOST_SIDES = 16


class CameraCost:
    """Engine time of a camera's frames. A size that was not used yet counts by its area, from the size nearest to it.

    So limits fit from the first frame at another size on, when the governor changes it.
    """

    __slots__ = ("_costs_s",)

    def __init__(self) -> None:
        self._costs_s: dict[int, float] = {}
        """By the longest side of the input, px; moving averages."""

    def note(self, side: int, engine_s: float) -> None:
        """Learn from one frame. `side`: longest side of the input, px."""
        if side not in self._costs_s and len(self._costs_s) >= _MOST_SIDES:
            del self._costs_s[next(iter(self._costs_s))]
        known_s = self._costs_s.get(side, self.at(side))
        self._costs_s[side] = engine_s if known_s is None else known_s + _SMOOTH * (engine_s - known_s)

    def at(self, side: int) -> float | None:
        """Engine time of a frame at this size, s; None: no frame was processed yet."""
        if not self._costs_s:
            return None
        nearest = min(self._costs_s, key=lambda known: abs(known - side))
        return self._costs_s[nearest] * (side / nearest) ** 2
