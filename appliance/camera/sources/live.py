"""A live camera: a webcam or network camera that delivers frames continuously.

Rules of this file:
- A thread reads the camera continuously and keeps only the newest frame.
- Failing to open a webcam for the first time is an error: the path is probably wrong. A network camera, and any camera
  that disappears later, is reopened forever with growing pauses: after a power cut it may start after the agent.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from appliance.camera.sources.source import PATIENCE_S, Capture, LiveCamera, Stream, StreamFrame
from appliance.errors import SourceError
from appliance.ports import Clock
from appliance.values import CameraLimits

log = logging.getLogger(__name__)

_REOPEN_AFTER_S = 2.0
_LONGEST_PAUSE_S = 60.0
_FIRST_AFTER_REJECTION_S, _LONGEST_AFTER_REJECTION_S = 60.0, 600.0

CameraFor = Callable[[CameraLimits], LiveCamera]


class LiveSource:
    """The newest picture of a live camera.

    `cameras`: functions of the current limits that return a camera to open, tried in turn until one opens.
    `sized`: the camera delivers the requested size, so it is reopened when the limits allow larger pictures.
    `patient`: keep trying also if the camera has never opened.
    """

    def __init__(
        self,
        *cameras: CameraFor,
        sized: bool = False,
        patient: bool = False,
        reopen_after_s: float = _REOPEN_AFTER_S,
        patience_s: float = PATIENCE_S,
        clock: Clock = time.monotonic,
    ) -> None:
        self._cameras, self._sized, self._patient, self._clock = cameras, sized, patient, clock
        self._reopen_after_s, self._patience_s = reopen_after_s, patience_s
        self._changed = threading.Condition()
        self._newest: tuple[StreamFrame, float] | None = None
        self._requested = False
        self._error: SourceError | None = None
        self._limits: CameraLimits | None = None
        self._opened_for = 0
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self, limits: CameraLimits) -> Capture | None:
        with self._changed:
            self._limits, self._requested = limits, True
            if self._thread is None:
                self._thread = threading.Thread(target=self._drain, name="camera", daemon=True)
                self._thread.start()
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._newest or self._error or self._closed.is_set(), self._patience_s)
            self._requested = False
            if self._error is not None:
                raise self._error
            if self._newest is None:
                return None
            (frame, taken_s), self._newest = self._newest, None
        return Capture(frame.to_jpeg(limits), taken_s)

    def close(self) -> None:
        self._closed.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(1.0)  # a thread that is blocked by a dead camera ends with the process

    def _drain(self) -> None:
        """Thread body: open the camera, read it to the end, and repeat until closed."""
        try:
            ever_delivered, failures = False, 0
            while not self._closed.is_set():
                delivered, error = self._read_once()
                if error is not None and not (ever_delivered or delivered) and not self._waits_for(error):
                    return self._fail(error)
                ever_delivered, failures = ever_delivered or delivered, 0 if delivered else failures + 1
                pause_s = 0.0 if self._wants_larger() else pause(failures, error, self._reopen_after_s)
                if error is not None and not self._closed.is_set():
                    what = f"the camera stopped ({error})" if delivered else str(error)
                    log.warning("%s; reopening in %.0f s", what, pause_s, extra={"kind": "source"})
                self._closed.wait(pause_s)
        except Exception as error:  # outer edge of the thread: the error ends the agent
            log.exception("camera thread failed")
            self._fail(SourceError(f"reading the camera failed ({type(error).__name__}); see the log"))
        return None

    def _read_once(self) -> tuple[bool, SourceError | None]:
        """Open the camera and read it to the end; return whether it delivered a frame, and the error at the end."""
        delivered = False
        try:
            stream = self._open()
            try:
                for frame in stream.frames(self._wait_until_requested):
                    delivered = True
                    with self._changed:
                        self._newest = frame, shutter_s(frame.at_s, self._clock())
                        self._changed.notify_all()
                    if self._closed.is_set() or self._wants_larger():
                        return delivered, None
            finally:
                stream.close()
        except SourceError as error:
            return delivered, error
        return delivered, SourceError("the stream ended" if delivered else "the camera sends no pictures")

    def _waits_for(self, error: SourceError) -> bool:
        """Whether the error can be temporary. A missing package is not."""
        return self._patient and error.code in ("source_unreadable", "source_unauthorized")

    def _fail(self, error: SourceError) -> None:
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def _open(self) -> Stream:
        assert self._limits is not None
        self._opened_for = self._limits.max_side
        for last, camera_for in enumerate(self._cameras, 1 - len(self._cameras)):
            try:
                return camera_for(self._limits).open()
            except SourceError:
                if last == 0:
                    raise
        raise AssertionError("a live source has at least one camera")

    def _wait_until_requested(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: (self._requested and not self._newest) or self._closed.is_set())
        return not self._closed.is_set()

    def _wants_larger(self) -> bool:
        return self._sized and self._limits is not None and self._limits.max_side > self._opened_for


def pause(failures: int, error: SourceError | None, first_s: float) -> float:
    """Pause before reopening a camera, s, after this number of consecutive attempts without a picture.

    Longer after a wrong password, because many cameras lock an account after a few attempts.
    """
    if error is not None and error.code == "source_unauthorized":
        first_s, longest_s = max(first_s, _FIRST_AFTER_REJECTION_S), _LONGEST_AFTER_REJECTION_S
    else:
        longest_s = _LONGEST_PAUSE_S
    return float(min(max(first_s, longest_s), first_s * 2.0 ** min(max(failures - 1, 0), 16)))


def shutter_s(at_s: float | None, now_s: float) -> float:
    """The capture time of a picture. V4L2 drivers stamp it with the monotonic clock; otherwise it is the arrival."""
    return at_s if at_s is not None and now_s - 2.0 < at_s <= now_s else now_s
