"""A camera that goes on whether anybody looks or not: a webcam, a network camera.

Rules of this file:
- A thread of its own drains it and keeps one piece, the newest; nothing waits, nothing piles up.
- The first opening fails loudly: a wrong address is a person's mistake. After that a camera that goes away is waited
  for, as long as it takes: cables get pulled, cameras get restarted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from appliance.camera.sources.pyav import Address, Piece, open_container, pieces
from appliance.camera.sources.source import PATIENCE_S, Shot
from appliance.errors import SourceError
from appliance.ports import Clock
from appliance.values import CameraLimits

log = logging.getLogger(__name__)

_REOPEN_AFTER_S = 2.0

AddressFor = Callable[[CameraLimits], Address]


class LiveSource:
    """The newest picture of a live camera.

    `addresses`: what to open, tried in turn until one opens, for the limits in force when it is opened.
    `sized`: the camera makes pictures of the size it is asked for, so it is opened again when larger ones are wanted.
    """

    def __init__(
        self,
        *addresses: AddressFor,
        sized: bool = False,
        reopen_after_s: float = _REOPEN_AFTER_S,
        patience_s: float = PATIENCE_S,
        clock: Clock = time.monotonic,
    ) -> None:
        self._addresses, self._sized, self._clock = addresses, sized, clock
        self._reopen_after_s, self._patience_s = reopen_after_s, patience_s
        self._news = threading.Condition()
        self._newest: tuple[Piece, float] | None = None
        self._error: SourceError | None = None
        self._limits: CameraLimits | None = None
        self._opened_for = 0
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self, limits: CameraLimits) -> Shot | None:
        with self._news:
            self._limits = limits
            if self._thread is None:
                self._thread = threading.Thread(target=self._drain, name="camera", daemon=True)
                self._thread.start()
            self._news.wait_for(lambda: self._newest or self._error or self._closed.is_set(), self._patience_s)
            if self._error is not None:
                raise self._error
            if self._newest is None:
                return None
            (piece, taken_s), self._newest = self._newest, None
        return Shot(piece.to_jpeg(limits), taken_s)

    def close(self) -> None:
        self._closed.set()
        with self._news:
            self._news.notify_all()
        if self._thread is not None:
            self._thread.join(1.0)  # one that waits for a dead camera ends with the process

    def _drain(self) -> None:
        """The thread: open, read to the end, and again until closed."""
        seen = False
        while not self._closed.is_set():
            try:
                container = self._open()
                try:
                    seen = self._read(container) or seen
                finally:
                    container.close()
            except SourceError as error:
                if not seen:
                    with self._news:
                        self._error = error
                        self._news.notify_all()
                    return
                log.warning("%s; trying again", error, extra={"kind": "source"})
            self._closed.wait(self._reopen_after_s if not self._wants_larger() else 0.0)

    def _open(self) -> Any:
        assert self._limits is not None
        self._opened_for = self._limits.max_side
        for last, address_for in enumerate(self._addresses, 1 - len(self._addresses)):
            try:
                return open_container(address_for(self._limits))
            except SourceError:
                if last == 0:
                    raise
        raise AssertionError("a live source has at least one address")

    def _read(self, container: Any) -> bool:
        """Keep the newest piece until the camera ends or is to be opened anew; whether any came."""
        seen = False
        try:
            for piece in pieces(container):
                taken_s = shutter_s(piece.at_s, self._clock())
                with self._news:
                    self._newest = piece, taken_s
                    self._news.notify_all()
                seen = True
                if self._closed.is_set() or self._wants_larger():
                    return seen
            reason = "its pictures ended"
        except SourceError as error:
            reason = str(error)
        if not self._closed.is_set():
            log.warning("the camera is gone (%s); opening it again", reason, extra={"kind": "source"})
        return seen

    def _wants_larger(self) -> bool:
        return self._sized and self._limits is not None and self._limits.max_side > self._opened_for


def shutter_s(at_s: float | None, now_s: float) -> float:
    """When a picture was taken: V4L2 stamps it with the monotonic clock that we read too; otherwise, its arrival."""
    return at_s if at_s is not None and now_s - 2.0 < at_s <= now_s else now_s
