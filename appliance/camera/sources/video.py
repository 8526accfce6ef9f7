"""A video file at its own pace, and again from its start: what passed while nobody looked is skipped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator

from appliance.camera.sources.pyav import Address, Piece, open_container, pieces
from appliance.camera.sources.source import Shot
from appliance.errors import SourceError
from appliance.ports import Clock
from appliance.values import CameraLimits

_MOST_SKIPPED_S = 10.0
"""Who comes back later than this goes on where it stopped: to skip means to decode all that lies between."""
_USUAL_FRAME_S = 0.04


class VideoSource:
    """Raises SourceError when the file cannot be read as a video."""

    def __init__(self, path: str, *, clock: Clock = time.monotonic, wait: Callable[[float], None] = time.sleep) -> None:
        self._address = Address(path, None, {})
        self._clock, self._wait = clock, wait
        self._container = open_container(self._address)
        self._film = self._play()
        self._ahead: tuple[Piece, float] | None = None
        self._begun_s: float | None = None
        self._busy = threading.Lock()

    def take(self, limits: CameraLimits) -> Shot:
        with self._busy:
            piece, wait_s = self._due()
        self._wait(wait_s)
        return Shot(piece.to_jpeg(limits), self._clock())

    def close(self) -> None:
        with self._busy:
            self._film.close()
            self._container.close()

    def _due(self) -> tuple[Piece, float]:
        """The picture of this moment, or the next one and how long it takes until it is due, s."""
        piece, due_s = self._ahead or next(self._film)
        if self._begun_s is None:
            self._begun_s = self._clock() - due_s
        late_s = self._clock() - self._begun_s - due_s
        if late_s > _MOST_SKIPPED_S:
            self._begun_s += late_s
        now_s = self._clock() - self._begun_s
        self._ahead = next(self._film)
        while self._ahead[1] <= now_s:
            (piece, due_s), self._ahead = self._ahead, next(self._film)
        return piece, max(0.0, due_s - now_s)

    def _play(self) -> Generator[tuple[Piece, float], None, None]:
        """All pictures for ever, each with the time at which it is due, s from the first start."""
        start_s = due_s = 0.0
        gap_s = _USUAL_FRAME_S
        while True:
            shown = 0
            for shown, piece in enumerate(pieces(self._container), 1):
                at_s = start_s + piece.at_s if piece.at_s is not None else due_s + gap_s * (shown > 1)
                if shown > 1 and at_s > due_s:
                    gap_s = at_s - due_s
                due_s = max(due_s, at_s)
                yield piece, due_s
            if not shown:
                raise SourceError(f"{self._address.name}: there are no pictures in it", "source_empty")
            start_s = due_s = due_s + gap_s
            self._container.close()
            self._container = open_container(self._address)
