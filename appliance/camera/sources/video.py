"""A video file, played in real time in a loop. Frames that pass between two captures are skipped.

Rules of this file:
- Time stamps in a file can have any value. A jump forwards or backwards counts as a cut, and playback continues.
- Each wait is limited and ends when the source is closed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator

from appliance.camera.sources.pyav import FFmpegInput, ReceivedFrame, open_container, read_frames
from appliance.camera.sources.source import PATIENCE_S, Capture
from appliance.errors import SourceError
from appliance.ports import Clock
from appliance.values import CameraLimits

_MAX_SKIPPED_S = 10.0
"""After a longer pause, playback continues where it stopped: skipping requires decoding all frames in between."""
_LONGEST_GAP_S = 10.0
"""Longest interval between two pictures. Longer ones are a cut, or a time lapse that plays faster."""
_USUAL_FRAME_S = 0.04
_CLOSE_WITHIN_S = 1.0


class VideoSource:
    """A video file as a source. Raises SourceError if FFmpeg cannot read it."""

    def __init__(
        self, path: str, *, clock: Clock = time.monotonic, wait: Callable[[float], object] | None = None
    ) -> None:
        self._input = FFmpegInput(path, None, {})
        self._closed = threading.Event()
        self._clock, self._wait = clock, wait or self._closed.wait
        self._container = open_container(self._input)
        self._playback = self._play()
        self._next: tuple[ReceivedFrame, float] | None = None
        """The frame to return next, if it was not due when the last `take` timed out."""
        self._ahead: tuple[ReceivedFrame, float] | None = None
        self._begun_s: float | None = None
        self._busy = threading.Lock()

    def take(self, limits: CameraLimits) -> Capture | None:
        with self._busy:
            if self._closed.is_set():
                return None
            frame, due_s = self._due()
            assert self._begun_s is not None
            wait_s = max(0.0, self._begun_s + due_s - self._clock())
            self._next = (frame, due_s) if wait_s > PATIENCE_S else None
        self._wait(min(wait_s, PATIENCE_S))
        if self._next is not None or self._closed.is_set():
            return None
        return Capture(frame.to_jpeg(limits), self._clock())

    def close(self) -> None:
        self._closed.set()
        if self._busy.acquire(timeout=_CLOSE_WITHIN_S):  # a hung read ends with the process
            try:
                self._playback.close()
                self._container.close()
            finally:
                self._busy.release()

    def _due(self) -> tuple[ReceivedFrame, float]:
        """The current or next frame and the time when it is due, s since the start of playback."""
        now_s = self._clock()
        frame, due_s = self._next or self._ahead or next(self._playback)
        if self._begun_s is None:
            self._begun_s = now_s - due_s
        late_s = now_s - self._begun_s - due_s
        if late_s > _MAX_SKIPPED_S:
            self._begun_s += late_s
        if self._next is None or self._ahead is None:
            self._ahead = next(self._playback)
        while self._ahead[1] <= now_s - self._begun_s and self._clock() - now_s < PATIENCE_S:
            if self._closed.is_set():
                break
            (frame, due_s), self._ahead = self._ahead, next(self._playback)
        return frame, due_s

    def _play(self) -> Generator[tuple[ReceivedFrame, float], None, None]:
        """Yield frames forever, each with the time when it is due, s since the start of playback."""
        due_s, gap_s = 0.0, None
        while True:
            before_s: float | None = None
            shown = 0
            for shown, frame in enumerate(read_frames(self._container), 1):
                if shown > 1:
                    stamped_s = None if frame.at_s is None or before_s is None else frame.at_s - before_s
                    gap_s, step_s = pace(stamped_s, gap_s)
                    due_s += step_s
                before_s = frame.at_s
                yield frame, due_s
            if not shown:
                raise SourceError(f"{self._input.name}: contains no pictures", "source_empty")
            due_s += gap_s or _USUAL_FRAME_S
            self._container.close()
            self._container = open_container(self._input)


def pace(stamped_s: float | None, gap_s: float | None) -> tuple[float | None, float]:
    """Return the usual interval between pictures from now on, and the interval between these two, s.

    `stamped_s`: the interval by time stamps; None: no time stamps. `gap_s`: the usual interval so far; None: unknown.
    """
    if stamped_s is not None and 0 < stamped_s <= _LONGEST_GAP_S:
        return stamped_s, stamped_s
    if stamped_s is not None and stamped_s > 0 and gap_s is None:
        return None, _LONGEST_GAP_S
    return gap_s, gap_s or _USUAL_FRAME_S
