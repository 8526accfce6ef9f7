"""What a frame costs at each input size, learned from the frames that are processed.

Rules of this file:
- The cost is engine time for a square input of this side: cameras differ in shape, and the engine's time follows the
  area.
- Other programs only ever make a frame slower: a faster frame counts more than a slower one.
- A size counts after some frames: the first ones may still be compiled for, and caches are cold.
"""

from __future__ import annotations

from appliance.values import Size

_FIRST, _LEAST = 4, 12
"""Frames that do not count, and frames after which the cost is known."""
_FASTER, _SLOWER = 0.2, 0.04


class FrameCosts:
    """The engine time of frames by the longest side of their input."""

    def __init__(self) -> None:
        self._frames: dict[int, int] = {}
        self._ms: dict[int, float] = {}

    def record(self, size: Size, engine_s: float) -> None:
        """Record a frame that ran as a whole at this input size."""
        side = max(size.width, size.height)
        square = side**2 / (size.width * size.height)
        frames = self._frames[side] = self._frames.get(side, 0) + 1
        if frames <= _FIRST:
            return
        cost_ms = engine_s * square * 1000
        before_ms = self._ms.get(side, cost_ms)
        self._ms[side] = before_ms + (_FASTER if cost_ms < before_ms else _SLOWER) * (cost_ms - before_ms)

    def forget(self) -> None:
        """Forget everything: another network runs now."""
        self._frames.clear()
        self._ms.clear()

    def ms(self) -> dict[int, float]:
        """The costs that are known, ms, by longest side, px."""
        return {side: cost_ms for side, cost_ms in self._ms.items() if self._frames[side] >= _FIRST + _LEAST}
