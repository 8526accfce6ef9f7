"""A video file at its own pace, and again from its start: what passed while nobody looked is skipped.

Rules of this file:
- Time stamps are the file's and may be anything: one that jumps forwards or backwards is a cut, and the film goes on.
- A wait is bounded, and ends when the source is closed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator

from appliance.camera.sources.pyav import FFmpegInput, StreamFrame, open_container, read_frames
from appliance.camera.sources.source import PATIENCE_S, Capture
from appliance.errors import SourceError
from appliance.ports import Clock
from appliance.values import CameraLimits

_MOST_SKIPPED_S = 10.0
"""Who comes back later than this goes on where it stopped: to skip means to decode all that lies between."""
_LONGEST_GAP_S = 10.0
"""Between two pictures. Time stamps further apart are a cut, or a time lapse, which is shown faster."""
_USUAL_FRAME_S = 0.04
_LET_GO_WITHIN_S = 1.0


class VideoSource:
    """Raises SourceError when the file cannot be read as a video."""

    def __init__(
        self, path: str, *, clock: Clock = time.monotonic, wait: Callable[[float], object] | None = None
    ) -> None:
        self._address = FFmpegInput(path, None, {})
        self._closed = threading.Event()
        self._clock, self._wait = clock, wait or self._closed.wait
        self._container = open_container(self._address)
        self._film = self._play()
        self._next: tuple[StreamFrame, float] | None = None
        """The picture that is waited for, where it was not due yet when `take` came back without it."""
        self._ahead: tuple[StreamFrame, float] | None = None
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
        if self._busy.acquire(timeout=_LET_GO_WITHIN_S):  # a read that hangs ends with the process
            try:
                self._film.close()
                self._container.close()
            finally:
                self._busy.release()

    def _due(self) -> tuple[StreamFrame, float]:
        """The picture of this moment, or the next one, and when it is due, s from the first start."""
        asked_s = self._clock()
        frame, due_s = self._next or self._ahead or next(self._film)
        if self._begun_s is None:
            self._begun_s = asked_s - due_s
        late_s = asked_s - self._begun_s - due_s
        if late_s > _MOST_SKIPPED_S:
            self._begun_s += late_s
        if self._next is None or self._ahead is None:
            self._ahead = next(self._film)
        while self._ahead[1] <= asked_s - self._begun_s and self._clock() - asked_s < PATIENCE_S:
            if self._closed.is_set():
                break
            (frame, due_s), self._ahead = self._ahead, next(self._film)
        return frame, due_s

    def _play(self) -> Generator[tuple[StreamFrame, float], None, None]:
        """All pictures for ever, each with the time at which it is due, s from the first start."""
        due_s, gap_s = 0.0, None
        while True:
            before_s: float | None = None
            shown = 0
            for shown, frame in enumerate(read_frames(self._container), 1):
                if shown > 1:
                    told_s = None if frame.at_s is None or before_s is None else frame.at_s - before_s
                    gap_s, step_s = pace(told_s, gap_s)
                    due_s += step_s
                before_s = frame.at_s
                yield frame, due_s
            if not shown:
                raise SourceError(f"{self._address.name}: there are no pictures in it", "source_empty")
            due_s += gap_s or _USUAL_FRAME_S
            self._container.close()
            self._container = open_container(self._address)


def pace(told_s: float | None, gap_s: float | None) -> tuple[float | None, float]:
    """The gap between two pictures that is usual from now on, and how long to wait between these two, s.

    `told_s`: by their time stamps; None: they have none. `gap_s`: what was usual until now; None: not yet known.
    """
    if told_s is not None and 0 < told_s <= _LONGEST_GAP_S:
        return told_s, told_s
    if told_s is not None and told_s > 0 and gap_s is None:
        return None, _LONGEST_GAP_S
    return gap_s, gap_s or _USUAL_FRAME_S
