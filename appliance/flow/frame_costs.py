"""What a frame costs at each input size, learned from the frames that are processed.

Rules of this file:
- The cost is engine time for a square input of this side: cameras differ in shape, and the engine's time follows the
  area.
- Other programs only ever make a frame slower: a faster frame counts more than a slower one.
- A size counts after some frames: the first ones may still be compiled for, and caches are cold.
- A size that comes back after many frames of others is measured again: what slowed its last frames may be over.
"""

from __future__ import annotations

from appliance.values import Size

_FIRST, _LEAST = 4, 12
"""Frames that do not count, and frames after which the cost is known."""
_FASTER, _SLOWER = 0.2, 0.04
_AGO = 100
"""Frames of other sizes after which a size counts as not in use."""


class FrameCosts:
    """The engine time of frames by the longest side of their input."""

    def __init__(self) -> None:
        self._frames: dict[int, int] = {}
        self._ms: dict[int, float] = {}
        self._recorded = 0
        self._last: dict[int, int] = {}
        """The number of all frames at the last one of each side."""

    def record(self, size: Size, engine_s: float) -> None:
        """Record a frame that ran as a whole at this input size."""
        side = max(size.width, size.height)
        square = side**2 / (size.width * size.height)
        self._recorded += 1
        if self._recorded - self._last.get(side, self._recorded) > _AGO:
            self._frames.pop(side, None)
            self._ms.pop(side, None)
        self._last[side] = self._recorded
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
        self._last.clear()

    def ms(self) -> dict[int, float]:
        """The costs that are known, ms, by longest side, px."""
        return {side: cost_ms for side, cost_ms in self._ms.items() if self._frames[side] >= _FIRST + _LEAST}
