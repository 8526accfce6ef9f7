"""Whether a camera repeats one picture for longer than it usually does: then it is frozen.

Rules of this file:
- A camera may repeat its picture between two key frames of a still scene, or from one snapshot to the next. How long
  it usually does is learned.
- A repetition that was reported is usual only if it followed another such one without a pause, as those of a camera do
  that shows a new picture every ten seconds. One that hangs now and then is reported each time, also if it hangs for
  longer than it shows new pictures in between.
"""

from __future__ import annotations

from dataclasses import dataclass

_FROZEN_S, _FROZEN_TIMES = 7.5, 4.0
_LEAST_LOOKS = 4
_MOST_BETWEEN = 2
"""Different pictures between two repetitions without a pause: the next snapshot, and one more."""
_MOST_USUAL_S = 120.0
"""A camera that repeats each picture for longer is frozen, however regularly it shows another."""


@dataclass(slots=True)
class PictureRepeats:
    """The repetitions of one camera's pictures. All times are monotonic."""

    frozen: bool = False
    """It repeats its picture for longer than usual."""
    _since_s: float | None = None
    _looks: int = 0
    _usual_s: float = 0.0
    """The longest usual repetition."""
    _until_s: float = float("-inf")
    """The end of the last repetition that was reported."""
    _between: int = 0
    """Different pictures since then."""

    @property
    def wait(self) -> bool:
        """It repeats its picture, and that is not reported yet."""
        return self._since_s is not None and not self.frozen

    def note(self, repeats: bool, before_s: float | None, now_s: float) -> bool:
        """Note a picture; return whether the camera is frozen. `before_s`: the time of the one before; None: none."""
        if not repeats:
            self._learn(now_s if before_s is None else before_s)
            self._since_s, self._looks, self.frozen = None, 0, False
            self._between += 1
            return False
        if self._since_s is None:
            self._since_s = now_s if before_s is None else before_s
        self._looks += 1
        long_s = max(_FROZEN_S, _FROZEN_TIMES * self._usual_s)
        self.frozen = now_s - self._since_s >= long_s and self._looks >= _LEAST_LOOKS
        return self.frozen

    def forget(self) -> None:
        """Conclude nothing from before a long pause."""
        self._since_s = None

    def _learn(self, until_s: float) -> None:
        if self._since_s is None:
            return
        lasted_s, pause_s = until_s - self._since_s, self._since_s - self._until_s
        follows = self._between <= _MOST_BETWEEN and pause_s <= lasted_s
        if not self.frozen or (follows and lasted_s <= _MOST_USUAL_S):
            self._usual_s = max(lasted_s, 0.99 * self._usual_s)
        if self.frozen:
            self._until_s, self._between = until_s, 0
