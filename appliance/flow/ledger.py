"""Keep account of admitted frames: each is published exactly once, as Detected, Failed or Skipped.

Rules of this file:
- From `open` to `conclude` a frame is open, or it follows an open frame with the same bytes and gets the same answer.
  Those that follow share the picture of the open one: a camera with a still picture may send ten in a second.
- If an open frame is skipped, its first follower that is still valid takes its place, and later ones follow that one.
- The books are closed before anything is published, and each frame is published by itself: what goes wrong with one is
  logged, and changes nothing for the others.
- Only the event loop uses it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from appliance.flow.cache import Cache, Key
from appliance.flow.cameras import CameraBook, Follower
from appliance.flow.inference import ms
from appliance.flow.optional import optional
from appliance.ports import Clock, Publish
from appliance.values import Detected, Frame, Outcome, Receipt, Skipped, Timing

log = logging.getLogger(__name__)


class Ledger:
    """The frames that still need an outcome."""

    def __init__(self, *, book: CameraBook, cache: Cache | None, publish: Publish, clock: Clock) -> None:
        self._book, self._cache, self._publish, self._clock = book, cache, publish, clock
        self._open: dict[int, tuple[Frame, Key | None]] = {}
        self._same: dict[Key, list[Frame]] = {}
        """Frames with the same bytes: the open one, and those that follow it."""
        self._awaited: dict[int, asyncio.Future[Outcome]] = {}
        self._concluded = asyncio.Event()

    def __contains__(self, frame: Frame) -> bool:
        return id(frame) in self._open

    @property
    def frames(self) -> list[Frame]:
        """The open frames."""
        return [frame for frame, _ in self._open.values()]

    def owes(self, sender: str) -> bool:
        """Whether a frame of this sender still needs an outcome."""
        same = (frame for frames in self._same.values() for frame in frames)
        return any(frame.sender == sender for frame in (*self.frames, *same))

    def open(self, frame: Frame, key: Key | None) -> None:
        """Open a frame: it needs an outcome from now on."""
        self._open[id(frame)] = frame, key
        if key is not None:
            self._same.setdefault(key, [frame])

    def share(self, frame: Frame, key: Key) -> Receipt | None:
        """Answer a frame from the cache, or let it follow an open one; None: it is the first with this key."""
        assert self._cache is not None  # keys come from it
        known = self._cache.get(key)
        if known is not None:
            self.close(frame, replace(known, cached="exact", timing=Timing(0.0, 0.0, 0.0, self.age_ms(frame))))
            return Receipt("cached")
        same = self._same.get(key)
        if same is None:
            return None
        if id(frame) not in self._awaited:
            frame = replace(frame, picture=same[0].picture)  # nobody counts the bytes of one that follows
        same.append(frame)
        return Receipt("queued")

    def conclude(self, frame: Frame, outcome: Outcome, heir: Callable[[Frame], bool]) -> tuple[Frame, Key] | None:
        """Publish the outcome of an open frame and of its followers.

        If it was skipped, return the follower to open in its place: the first for which `heir` is true.
        """
        _, key = self._open.pop(id(frame))
        self._concluded.set()
        if key is None:
            self.close(frame, outcome)
            return None
        followers, next_ = self._same.pop(key)[1:], None
        if isinstance(outcome, Skipped):
            fit = (place for place, one in enumerate(followers) if one.camera != frame.camera and heir(one))
            place = next(fit, None)
            if place is not None:
                next_, later = followers[place], followers[place + 1 :]
                self._same[key] = [next_, *(one for one in later if one.camera != frame.camera)]
                followers = followers[:place] + [one for one in later if one.camera == frame.camera]
        if isinstance(outcome, Detected):
            assert self._cache is not None
            self._cache.put(key, outcome)
        self.close(frame, outcome)
        for follower in followers:
            self.close(follower, self._alike(outcome, follower))
        return None if next_ is None else (next_, key)

    def close(self, frame: Frame, outcome: Outcome) -> None:
        """Count and publish an outcome."""
        camera = self._book.get(frame.camera)
        if camera is not None:
            camera.outcome(outcome, self._clock())
            if camera.tracks is not None and isinstance(outcome, Detected):  # never cached: tracks are the camera's own
                outcome = self._followed(camera.tracks, outcome, frame)
        self.publish(frame, outcome)

    def publish(self, frame: Frame, outcome: Outcome) -> None:
        """Publish an outcome that has been counted already."""
        awaited = self._awaited.get(id(frame))
        if awaited is not None and not awaited.done():
            awaited.set_result(outcome)
        try:
            self._publish(frame, outcome)
        except Exception:
            log.exception(
                "could not publish the outcome of a frame of camera %s", frame.camera,
                extra={"kind": "publish", "camera": frame.camera},
            )  # fmt: skip

    @staticmethod
    def _followed(tracks: Follower, answer: Detected, frame: Frame) -> Detected:
        """The answer with tracks. If that fails, the answer has none, and the camera's objects begin again."""
        with optional("tracks", frame.camera):
            return tracks.follow(answer, frame.received_s)
        tracks.close()
        return answer

    @contextmanager
    def outcome_of(self, frame: Frame) -> Iterator[asyncio.Future[Outcome]]:
        """A future for the outcome of a frame, valid within the block."""
        self._awaited[id(frame)] = future = asyncio.get_running_loop().create_future()
        try:
            yield future
        finally:
            del self._awaited[id(frame)]

    async def concluded(self, frames: list[Frame]) -> None:
        """Wait until none of these frames is open."""
        while any(frame in self for frame in frames):
            self._concluded.clear()
            await self._concluded.wait()

    def _alike(self, outcome: Outcome, follower: Frame) -> Outcome:
        if not isinstance(outcome, Detected):
            return outcome
        return replace(outcome, cached="exact", timing=replace(outcome.timing, total_ms=self.age_ms(follower)))

    def age_ms(self, frame: Frame) -> float:
        """Time since a frame was received."""
        return ms(self._clock() - frame.received_s)
