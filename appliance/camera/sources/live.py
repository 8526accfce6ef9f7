"""A camera that goes on whether anybody looks or not: a webcam, a network camera.

Rules of this file:
- A thread of its own drains it and keeps one frame, the newest; nothing waits, nothing piles up.
- The first opening of a device fails loudly: a wrong path is a person's mistake. A network camera, and one that goes
  away later, is waited for as long as it takes, a little longer each time: after a power cut it starts when we do.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from appliance.camera.sources.source import PATIENCE_S, Camera, Capture, Stream, StreamFrame
from appliance.errors import SourceError
from appliance.ports import Clock
from appliance.values import CameraLimits

log = logging.getLogger(__name__)

_REOPEN_AFTER_S = 2.0
_LONGEST_PAUSE_S = 60.0
_FIRST_AFTER_REFUSAL_S, _LONGEST_AFTER_REFUSAL_S = 60.0, 600.0

CameraFor = Callable[[CameraLimits], Camera]


class LiveSource:
    """The newest picture of a live camera.

    `addresses`: what to open, tried in turn until one opens, for the limits in force when it is opened.
    `sized`: the camera makes pictures of the size it is asked for, so it is opened again when larger ones are wanted.
    `patient`: a camera that cannot be opened at first is waited for too, as one that goes away later always is.
    """

    def __init__(
        self,
        *addresses: CameraFor,
        sized: bool = False,
        patient: bool = False,
        reopen_after_s: float = _REOPEN_AFTER_S,
        patience_s: float = PATIENCE_S,
        clock: Clock = time.monotonic,
    ) -> None:
        self._addresses, self._sized, self._patient, self._clock = addresses, sized, patient, clock
        self._reopen_after_s, self._patience_s = reopen_after_s, patience_s
        self._news = threading.Condition()
        self._newest: tuple[StreamFrame, float] | None = None
        self._asking = False
        self._error: SourceError | None = None
        self._limits: CameraLimits | None = None
        self._opened_for = 0
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self, limits: CameraLimits) -> Capture | None:
        with self._news:
            self._limits, self._asking = limits, True
            if self._thread is None:
                self._thread = threading.Thread(target=self._drain, name="camera", daemon=True)
                self._thread.start()
            self._news.notify_all()
            self._news.wait_for(lambda: self._newest or self._error or self._closed.is_set(), self._patience_s)
            self._asking = False
            if self._error is not None:
                raise self._error
            if self._newest is None:
                return None
            (frame, taken_s), self._newest = self._newest, None
        return Capture(frame.to_jpeg(limits), taken_s)

    def close(self) -> None:
        self._closed.set()
        with self._news:
            self._news.notify_all()
        if self._thread is not None:
            self._thread.join(1.0)  # one that waits for a dead camera ends with the process

    def _drain(self) -> None:
        """The thread: open, read to the end, and again until closed."""
        try:
            seen, failures = False, 0
            while not self._closed.is_set():
                came, error = self._visit()
                if error is not None and not (seen or came) and not self._waits_for(error):
                    return self._fail(error)
                seen, failures = seen or came, 0 if came else failures + 1
                pause_s = 0.0 if self._wants_larger() else pause(failures, error, self._reopen_after_s)
                if error is not None and not self._closed.is_set():
                    what = f"the camera is gone ({error})" if came else str(error)
                    log.warning("%s; opening it again in %.0f s", what, pause_s, extra={"kind": "source"})
                self._closed.wait(pause_s)
        except Exception as error:  # a thread's outer edge: the agent ends with what ended its camera
            log.exception("the camera's thread failed")
            self._fail(SourceError(f"the camera's pictures cannot be read ({type(error).__name__})"))
        return None

    def _visit(self) -> tuple[bool, SourceError | None]:
        """Open the camera and read to its end: whether any picture came, and what ended it."""
        came = False
        try:
            stream = self._open()
            try:
                for frame in stream.frames(self._wanted):
                    came = True
                    with self._news:
                        self._newest = frame, shutter_s(frame.at_s, self._clock())
                        self._news.notify_all()
                    if self._closed.is_set() or self._wants_larger():
                        return came, None
            finally:
                stream.close()
        except SourceError as error:
            return came, error
        return came, SourceError("its pictures ended" if came else "it sends no pictures")

    def _waits_for(self, error: SourceError) -> bool:
        """Whether it may go away by itself: a package that is not installed stays missing."""
        return self._patient and error.code in ("source_unreadable", "source_unauthorized")

    def _fail(self, error: SourceError) -> None:
        with self._news:
            self._error = error
            self._news.notify_all()

    def _open(self) -> Stream:
        assert self._limits is not None
        self._opened_for = self._limits.max_side
        for last, address_for in enumerate(self._addresses, 1 - len(self._addresses)):
            try:
                return address_for(self._limits).open()
            except SourceError:
                if last == 0:
                    raise
        raise AssertionError("a live source has at least one address")

    def _wanted(self) -> bool:
        with self._news:
            self._news.wait_for(lambda: (self._asking and not self._newest) or self._closed.is_set())
        return not self._closed.is_set()

    def _wants_larger(self) -> bool:
        return self._sized and self._limits is not None and self._limits.max_side > self._opened_for


def pause(failures: int, error: SourceError | None, first_s: float) -> float:
    """How long to leave a camera alone, s: after so many visits in a row without a picture, the last of which ended so.

    A wrong password is tried rarely: many cameras lock an account after a few attempts.
    """
    if error is not None and error.code == "source_unauthorized":
        first_s, longest_s = max(first_s, _FIRST_AFTER_REFUSAL_S), _LONGEST_AFTER_REFUSAL_S
    else:
        longest_s = _LONGEST_PAUSE_S
    return float(min(max(first_s, longest_s), first_s * 2.0 ** min(max(failures - 1, 0), 16)))


def shutter_s(at_s: float | None, now_s: float) -> float:
    """When a picture was taken: V4L2 stamps it with the monotonic clock that we read too; otherwise, its arrival."""
    return at_s if at_s is not None and now_s - 2.0 < at_s <= now_s else now_s
