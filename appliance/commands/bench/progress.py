"""Progress of a long command: one line that is redrawn on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import time
from typing import TextIO

from appliance.durations import in_words
from appliance.ports import Clock

_REDRAW_S = 0.2
_BAR_WIDTH = 24


class Progress:
    """A progress bar. `total_s`: the expected duration."""

    def __init__(self, stream: TextIO, total_s: float, clock: Clock = time.monotonic) -> None:
        self._stream, self._total_s, self._clock = stream, total_s, clock
        self._live = stream.isatty()
        self._done_s = 0.0
        self._step = ""
        self._drawn_s = float("-inf")

    def stage(self, step: str) -> None:
        """Name the current step."""
        self._step = step
        self._draw(at_once=True)

    def advance(self, seconds: float) -> None:
        """Count more seconds of the total as done."""
        self._done_s += seconds
        self._draw()

    def line(self, text: str) -> None:
        """Print a permanent line."""
        self.clear()
        self._stream.write(f"{text}\n")
        self._stream.flush()
        self._draw(at_once=True)

    def clear(self) -> None:
        """Remove the bar."""
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _draw(self, at_once: bool = False) -> None:
        now_s = self._clock()
        if not self._live or not self._step or (now_s - self._drawn_s < _REDRAW_S and not at_once):
            return
        self._drawn_s = now_s
        fraction = min(1.0, self._done_s / self._total_s) if self._total_s > 0 else 1.0
        full = round(fraction * _BAR_WIDTH)
        left = in_words(max(0.0, self._total_s - self._done_s))
        text = f"{'█' * full}{'░' * (_BAR_WIDTH - full)} {fraction:4.0%}  {self._step}  {left} left"
        columns = shutil.get_terminal_size().columns
        self._stream.write(f"\r{text[: columns - 1]}\x1b[K")
        self._stream.flush()
