"""The service that moves a frame along: offered, waiting, decoded, inferred, published.

Rules of this file:
- Every frame that is offered is published exactly once: as Detected, Failed or Skipped.
- What is going to be dropped is dropped before it costs anything: refused here, or taken out of its mailbox.
- Nothing here waits for the engine but `_serve`; `offer` returns at once.
- A frame with the same bytes as one that is waiting or being inferred follows it and gets the same answer.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import anyio

from appliance.errors import ApplianceError, EngineError, ModelError, did_you_mean
from appliance.flow.cache import Cache, Key, key_of
from appliance.flow.cameras import Camera, CameraBook
from appliance.flow.inference import Answer, Inference, Network, ms
from appliance.flow.mailboxes import Lost, Mailboxes
from appliance.flow.pace import Pace
from appliance.ports import Clock, Publish
from appliance.values import (
    Detected,
    Failed,
    Frame,
    Limits,
    Outcome,
    Receipt,
    Skipped,
    SkipReason,
    Timing,
)

log = logging.getLogger(__name__)

_CLOSED = Failed("shutting_down", "the box is stopping or restarting; send again in a few seconds")
_RETRY_OVERLOADED_S = 2.0
_BIG_BYTES = 256_000
"""Above this the digest of a frame takes more than a fraction of a millisecond, and leaves the event loop."""
_SMOOTH = 0.1
_TICK_S = 0.5
"""Shares are made anew this often."""


class Detector:
    """The heart. `run` serves until cancelled; `offer` may be called from the event loop's thread only."""

    def __init__(
        self,
        *,
        inference: Inference | None,
        model_error: ModelError | EngineError | None = None,
        mailboxes: Mailboxes,
        cache: Cache | None,
        book: CameraBook,
        pace: Pace,
        publish: Publish,
        clock: Clock,
        slow_frame_s: float = 2.0,
    ) -> None:
        self.inference = inference
        self.model_error = model_error
        self.cache = cache
        self._mailboxes, self._book, self._pace = mailboxes, book, pace
        self._publish, self._clock = publish, clock
        self._slow_frame_s = slow_frame_s
        self._followers: dict[Key, list[Frame]] = {}
        self._keys: dict[int, Key] = {}
        self._asked: dict[int, asyncio.Future[Outcome]] = {}
        self._jobs: set[int] = set()
        self._slot_free = asyncio.Event()
        self._closing = False
        self.infer_ms: float | None = None
        self.engine_failures = 0
        """In a row."""

    @property
    def network(self) -> Network | None:
        """The loaded model, if there is one."""
        return self.inference.network if self.inference is not None else None

    async def offer(self, frame: Frame) -> Receipt:
        """Take a frame or refuse it; never waits for the engine."""
        now = self._clock()
        camera = self._book.enter(frame.camera)
        camera.arrived(now)
        refusal = self._refusal(frame, camera, now)
        if refusal is not None:
            return self._refuse(frame, refusal)
        network = self.network
        assert network is not None  # _refusal has checked
        if self.cache is not None:
            size = network.input_size(frame.picture.size, self._pace.limits.max_side)
            arguments = (frame.picture.data, network.info.name, size, frame.wanted)
            if len(frame.picture.data) > _BIG_BYTES:
                key = await asyncio.get_running_loop().run_in_executor(None, key_of, *arguments)
                if self._closing:  # meanwhile
                    return self._refuse(frame, _CLOSED)
            else:
                key = key_of(*arguments)
            known = self.cache.get(key)
            if known is not None:
                timing = Timing(0.0, 0.0, 0.0, ms(self._clock() - frame.received_s))
                self._finish(frame, replace(known, cached="exact", timing=timing))
                return Receipt("cached")
            if key in self._followers:
                self._followers[key].append(frame)
                return Receipt("queued")
            self._followers[key] = []
            self._keys[id(frame)] = key
        policy = camera.policy
        lost = self._mailboxes.offer(frame, weight=policy.weight, priority=policy.priority)
        self._drop(lost)
        if any(other is frame for other, _ in lost):
            return Receipt("skipped", SkipReason.OVERLOADED.value, _RETRY_OVERLOADED_S)
        return Receipt("queued")

    async def ask(self, frame: Frame) -> Outcome:
        """Offer a frame and wait for its outcome, which is published as well."""
        asked: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._asked[id(frame)] = asked
        try:
            await self.offer(frame)
            return await asked
        finally:
            self._asked.pop(id(frame), None)

    def _refusal(self, frame: Frame, camera: Camera, now_s: float) -> Failed | Skipped | None:
        """Why this frame is not let in, decided before its pixels are looked at."""
        if self._closing:
            return _CLOSED
        wait_s = camera.bucket.take(now_s, self._pace.enforced_interval(camera))
        if wait_s > 0:
            self._pace.refused()
            return Skipped(SkipReason.RATE_LIMITED, round(wait_s, 3))
        if not self._pace.limits.admit:
            return Skipped(SkipReason.OVERLOADED, _RETRY_OVERLOADED_S * 5)
        if self.network is None:
            error = self.model_error or ModelError("no model is loaded")
            return Failed(error.code, str(error))
        unknown = (frame.wanted.classes or frozenset()) - set(self.network.info.classes)
        if not unknown:
            return None
        name = min(unknown)
        hint = did_you_mean(name, self.network.info.classes)
        return Failed("option_invalid", f"the model {self.network.info.name} has no class '{name}'{hint}")

    def _refuse(self, frame: Frame, outcome: Failed | Skipped) -> Receipt:
        self._finish(frame, outcome)
        if isinstance(outcome, Failed):
            return Receipt("error", outcome.code)
        return Receipt("skipped", outcome.reason.value, outcome.retry_after_s)

    async def run(self) -> None:
        """Serve frames until cancelled; then every frame still waiting is answered."""
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._tick, name="pace")
                while True:
                    await self._free_slot()
                    frame, lost = await self._mailboxes.take()
                    self._drop(lost)
                    if frame is not None:
                        self._jobs.add(id(frame))
                        group.start_soon(self._serve, frame, name="frame")
        finally:
            self._closing = True
            for frame in self._mailboxes.withdraw_all():
                self._conclude(frame, _CLOSED)
            if self.inference is not None:
                self.inference.close()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            self._pace.tell()
            for name in self._book.forget_silent(self._clock()):
                self._mailboxes.forget(name)
            if self.cache is not None:
                self.cache.sweep()

    async def drain(self, timeout_s: float) -> None:
        """Refuse new frames and give those already taken this long to be answered."""
        self._closing = True
        with anyio.move_on_after(timeout_s):
            while self._jobs or len(self._mailboxes):
                self._slot_free.clear()
                await self._slot_free.wait()

    def apply(self, limits: Limits) -> None:
        """The governor's word: for the next frame on, and told to the cameras."""
        if limits == self._pace.limits:
            return
        self._pace.limits = limits
        self._slot_free.set()
        self._pace.tell()

    async def _free_slot(self) -> None:
        while len(self._jobs) >= self._in_flight_limit():
            self._slot_free.clear()
            await self._slot_free.wait()

    def _in_flight_limit(self) -> int:
        """One more than the engine has slots, so that the next frame is decoded meanwhile; docs/decisions/0005."""
        slots = self.network.engine.slots if self.network is not None else 1
        return max(1, min(self._pace.limits.max_in_flight, slots + 1))

    async def _serve(self, frame: Frame) -> None:
        outcome: Outcome = _CLOSED
        engine_s = 0.0
        camera = self._book.get(frame.camera)
        try:
            assert self.inference is not None  # offer lets nothing in without it
            answer = await self.inference.run(frame, self._pace.limits.max_side, camera.seen if camera else None)
            outcome, engine_s = answer.detected, answer.engine_s
            if camera is not None:
                camera.seen = answer.seen
                self._pace.waited(camera, answer.detected.timing.wait_ms / 1000)
            self._learn(self.inference.network.engine.slots, camera, answer)
        except ApplianceError as error:
            if isinstance(error, EngineError):
                self.engine_failures += 1
                log.error("the engine failed: %s", error, extra={"kind": "engine", "code": error.code})
            outcome = Failed(error.code, str(error))
        except Exception as error:
            self.engine_failures += 1
            outcome = Failed("engine_failed", f"the engine failed: {error}")
            log.exception("a frame of camera %s failed", frame.camera, extra={"kind": "frame", "camera": frame.camera})
        finally:
            self._mailboxes.charge(frame.camera, engine_s)
            self._jobs.discard(id(frame))
            self._slot_free.set()
            self._conclude(frame, outcome)

    def _learn(self, slots: int, camera: Camera | None, answer: Answer) -> None:
        """What a frame has really cost: for the shares, and for whoever reads the log."""
        self.engine_failures = 0
        timing = answer.detected.timing
        if timing.total_ms > self._slow_frame_s * 1000:
            log.warning(
                "slow frame: %.1f s (waited %.0f ms, decode %.0f ms, inference %.0f ms)",
                timing.total_ms / 1000, timing.wait_ms, timing.decode_ms, timing.infer_ms, extra={"kind": "slow_frame"},
            )  # fmt: skip
        if answer.detected.cached:
            return
        infer_ms = answer.engine_s * 1000
        self.infer_ms = infer_ms if self.infer_ms is None else self.infer_ms + _SMOOTH * (infer_ms - self.infer_ms)
        self._pace.learn(slots, self.infer_ms / 1000)
        if camera is not None:
            camera.cost(answer.engine_s)

    def _conclude(self, frame: Frame, outcome: Outcome) -> None:
        """Publish a served frame's outcome, and to those that followed it as well."""
        key = self._keys.pop(id(frame), None)
        followers = self._followers.pop(key, []) if key is not None else []
        if key is not None and self.cache is not None and isinstance(outcome, Detected):
            self.cache.put(key, outcome)
        self._finish(frame, outcome)
        if key is not None and isinstance(outcome, Skipped):
            followers = self._promote(key, frame.camera, followers)
        now = self._clock()
        for follower in followers:
            if isinstance(outcome, Detected):
                timing = replace(outcome.timing, total_ms=ms(now - follower.received_s))
                self._finish(follower, replace(outcome, cached="exact", timing=timing))
            else:
                self._finish(follower, outcome)

    def _promote(self, key: Key, camera: str, followers: list[Frame]) -> list[Frame]:
        """The frame they followed was skipped: another camera's takes its place. Returns those that share its fate."""
        for number, heir in enumerate(followers):
            if heir.camera == camera or self._mailboxes.holds_newer(heir):
                continue
            self._followers[key] = [other for other in followers[number + 1 :] if other.camera != camera]
            self._keys[id(heir)] = key
            known = self._book.enter(heir.camera)
            lost = self._mailboxes.offer(heir, weight=known.policy.weight, priority=known.policy.priority)
            self._drop(lost)
            return [*followers[:number], *(other for other in followers[number + 1 :] if other.camera == camera)]
        return followers

    def _drop(self, lost: list[Lost]) -> None:
        for frame, reason in lost:
            camera = self._book.get(frame.camera)
            if camera is not None:
                self._pace.waited(camera, self._clock() - frame.received_s)
            retry_s = _RETRY_OVERLOADED_S if reason is SkipReason.OVERLOADED else 0.0
            if camera is not None and camera.told is not None:
                retry_s = max(retry_s, camera.told.min_interval_s)
            self._conclude(frame, Skipped(reason, retry_s))

    def _finish(self, frame: Frame, outcome: Outcome) -> None:
        camera = self._book.get(frame.camera)
        if camera is not None:
            camera.outcome(outcome, self._clock())
        asked = self._asked.get(id(frame))
        if asked is not None and not asked.done():
            asked.set_result(outcome)
        self._publish(frame, outcome)

    def capacity_fps(self) -> float | None:
        """Frames a second that the engine can do now, as measured; None before the first."""
        if self.infer_ms is None:
            return None
        return self._pace.usable_slots() * 1000 / max(self.infer_ms, 0.01)

    @property
    def in_flight(self) -> int:
        return len(self._jobs)

    @property
    def waiting(self) -> int:
        return len(self._mailboxes)
