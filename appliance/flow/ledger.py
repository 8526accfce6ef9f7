"""The account of the frames that were let in: each is published exactly once, as Detected, Failed or Skipped.

Rules of this file:
- From `open` to `conclude` a frame is open, or it follows one that is: one with the same bytes, answered
  alike.
- Where an open frame is skipped, the first follower that may still be looked at takes its place, and the later ones
  follow that.
- The event loop's alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from appliance.flow.cache import Cache, Key
from appliance.flow.cameras import CameraBook
from appliance.flow.inference import ms
from appliance.ports import Clock, Publish
from appliance.values import Detected, Frame, Outcome, Receipt, Skipped, Timing


class Ledger:
    """Who is still owed an outcome, and who gets which."""

    def __init__(self, *, book: CameraBook, cache: Cache | None, publish: Publish, clock: Clock) -> None:
        self._book, self._cache, self._publish, self._clock = book, cache, publish, clock
        self._open: dict[int, tuple[Frame, Key | None]] = {}
        self._followers: dict[Key, list[Frame]] = {}
        self._asked: dict[int, asyncio.Future[Outcome]] = {}
        self._concluded = asyncio.Event()

    def __contains__(self, frame: Frame) -> bool:
        return id(frame) in self._open

    @property
    def frames(self) -> list[Frame]:
        """Those that are open."""
        return [frame for frame, _ in self._open.values()]

    def open(self, frame: Frame, key: Key | None) -> None:
        """An outcome is owed from now on."""
        self._open[id(frame)] = frame, key
        if key is not None:
            self._followers.setdefault(key, [])

    def share(self, frame: Frame, key: Key) -> Receipt | None:
        """Give it the answer that is known, or let it follow an open one; None: it is the first of its kind."""
        assert self._cache is not None  # it makes the keys
        known = self._cache.get(key)
        if known is not None:
            self.close(frame, replace(known, cached="exact", timing=Timing(0.0, 0.0, 0.0, self._age_ms(frame))))
            return Receipt("cached")
        if key in self._followers:
            self._followers[key].append(frame)
            return Receipt("queued")
        return None

    def conclude(self, frame: Frame, outcome: Outcome, heir: Callable[[Frame], bool]) -> tuple[Frame, Key] | None:
        """The outcome of an open frame, for its followers too. Where it was skipped: the follower to be opened in its
        place, if one is fit to be its `heir`.
        """
        _, key = self._open.pop(id(frame))
        self._concluded.set()
        self.close(frame, outcome)
        if key is None:
            return None
        followers, next_ = self._followers.pop(key), None
        if isinstance(outcome, Skipped):
            fit = (place for place, one in enumerate(followers) if one.camera != frame.camera and heir(one))
            place = next(fit, None)
            if place is not None:
                next_, later = followers[place], followers[place + 1 :]
                self._followers[key] = [one for one in later if one.camera != frame.camera]
                followers = followers[:place] + [one for one in later if one.camera == frame.camera]
        if isinstance(outcome, Detected):
            assert self._cache is not None
            self._cache.put(key, outcome)
        for follower in followers:
            self.close(follower, self._alike(outcome, follower))
        return None if next_ is None else (next_, key)

    def close(self, frame: Frame, outcome: Outcome) -> None:
        """Count and publish an outcome."""
        camera = self._book.get(frame.camera)
        if camera is not None:
            camera.outcome(outcome, self._clock())
        self.tell(frame, outcome)

    def tell(self, frame: Frame, outcome: Outcome) -> None:
        """Publish an outcome that is counted already."""
        asked = self._asked.get(id(frame))
        if asked is not None and not asked.done():
            asked.set_result(outcome)
        self._publish(frame, outcome)

    @contextmanager
    def asked(self, frame: Frame) -> Iterator[asyncio.Future[Outcome]]:
        """Its outcome, as soon as there is one; forgotten with the block."""
        self._asked[id(frame)] = future = asyncio.get_running_loop().create_future()
        try:
            yield future
        finally:
            del self._asked[id(frame)]

    async def concluded(self, frames: list[Frame]) -> None:
        """Wait until none of these is open."""
        while any(frame in self for frame in frames):
            self._concluded.clear()
            await self._concluded.wait()

    def _alike(self, outcome: Outcome, follower: Frame) -> Outcome:
        if not isinstance(outcome, Detected):
            return outcome
        return replace(outcome, cached="exact", timing=replace(outcome.timing, total_ms=self._age_ms(follower)))

    def _age_ms(self, frame: Frame) -> float:
        return ms(self._clock() - frame.received_s)
