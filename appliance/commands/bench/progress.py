"""How far a long command is: one line that is drawn over and over on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import time
from typing import TextIO

from appliance.durations import in_words
from appliance.ports import Clock

_EVERY_S = 0.2
_BAR = 24


class Progress:
    """`total_s`: how long all of it takes, as far as that is known beforehand."""

    def __init__(self, stream: TextIO, total_s: float, clock: Clock = time.monotonic) -> None:
        self._stream, self._total_s, self._clock = stream, total_s, clock
        self._live = stream.isatty()
        self._done_s = 0.0
        self._what = ""
        self._drawn_s = float("-inf")

    def stage(self, what: str) -> None:
        """What is done now."""
        self._what = what
        self._draw(at_once=True)

    def advance(self, seconds: float) -> None:
        """This much of the total is done."""
        self._done_s += seconds
        self._draw()

    def line(self, text: str) -> None:
        """A line that stays."""
        self.clear()
        self._stream.write(f"{text}\n")
        self._stream.flush()
        self._draw(at_once=True)

    def clear(self) -> None:
        """Nothing of the bar stays."""
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _draw(self, at_once: bool = False) -> None:
        now_s = self._clock()
        if not self._live or not self._what or (now_s - self._drawn_s < _EVERY_S and not at_once):
            return
        self._drawn_s = now_s
        part = min(1.0, self._done_s / self._total_s) if self._total_s > 0 else 1.0
        full = round(part * _BAR)
        left = in_words(max(0.0, self._total_s - self._done_s))
        text = f"{'█' * full}{'░' * (_BAR - full)} {part:4.0%}  {self._what}  {left} left"
        columns = shutil.get_terminal_size().columns
        self._stream.write(f"\r{text[: columns - 1]}\x1b[K")
        self._stream.flush()
