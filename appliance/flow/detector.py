"""Move each frame through the pipeline: offered, waiting, decoded, inferred, published.

The network that frames run through, and what is measured of it, is in network_in_use.py. Rules of this file:
- Every offered frame gets exactly one published outcome; the ledger keeps track.
- Frames are dropped before they cost anything: refused by admission_control.py, or removed from their mailbox.
- The workers take frames from the mailboxes and process them; everything else runs on the event loop only.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import replace

import anyio

from appliance.errors import ApplianceError, BadFrame, EngineError, did_you_mean
from appliance.flow.admission_control import CLOSED, AdmissionControl
from appliance.flow.cache import Cache, Key, key_of
from appliance.flow.cameras import Camera, CameraBook
from appliance.flow.frame_log import log_failed, log_slow
from appliance.flow.inference import Answer, Inference, Network
from appliance.flow.ledger import Ledger
from appliance.flow.mailboxes import Lost, Mailboxes
from appliance.flow.network_in_use import NetworkInUse
from appliance.flow.optional import optional
from appliance.flow.pace import Pace
from appliance.flow.workers import Workers
from appliance.ports import Clock, Publish
from appliance.values import BIG_BYTES, Failed, Frame, Limits, Outcome, Receipt, Skipped, SkipReason

_RETRY_OVERLOADED_S = 2.0


class Detector:
    """The frame pipeline. `run` serves until cancelled; call `offer` only from the event loop's thread."""

    def __init__(
        self,
        *,
        in_use: NetworkInUse,
        mailboxes: Mailboxes,
        cache: Cache | None,
        book: CameraBook,
        pace: Pace,
        publish: Publish,
        clock: Clock,
        slow_frame_s: float = 2.0,
        deadline_s: float = 20.0,
        tick_s: float = 0.5,
    ) -> None:
        self.in_use, self.cache = in_use, cache
        self._mailboxes, self._book, self._pace = mailboxes, book, pace
        self._clock = clock
        self._slow_frame_s, self._deadline_s, self._tick_s = slow_frame_s, deadline_s, tick_s
        self._ledger = Ledger(book=book, cache=cache, publish=publish, clock=clock)
        self.admission = AdmissionControl(book=book, pace=pace, clock=clock, no_model=in_use.failure)
        self._workers: Workers | None = None
        self.returned = 0
        """Frames returned by the workers, successful or not."""

    @property
    def network(self) -> Network | None:
        """The loaded network; None: no model is loaded."""
        return self.in_use.network

    async def offer(self, frame: Frame) -> Receipt:
        """Accept or refuse a frame that is whole already, without waiting for the engine."""
        refusal = self.admission.admit(frame.camera)
        if refusal is None:
            return await self.take(frame)
        self._ledger.publish(frame, refusal)
        return Receipt.of(refusal)

    async def take(self, frame: Frame) -> Receipt:
        """Queue an admitted frame, or answer it at once."""
        camera, network = self._book.enter(frame.camera), self.network
        failure = self.admission.failure()
        if failure is not None:
            return self._refuse(frame, failure)
        assert network is not None  # or there would have been a failure
        unknown = (frame.wanted.classes or frozenset()) - set(network.info.classes)
        if unknown:
            hint = did_you_mean(min(unknown), network.info.classes)
            what = f"the model {network.info.name} has no class '{min(unknown)}'{hint}"
            return self._refuse(frame, Failed("option_invalid", what))
        key = await self._key(frame, network)
        if self.admission.closed:  # it may have closed meanwhile
            return self._refuse(frame, CLOSED)
        if key is not None:
            shared = self._ledger.share(frame, key)
            repeats, camera.last_key = camera.last_key == key, key
            if shared is not None:
                if camera.picture is not None:
                    with optional("the watch over its pictures", frame.camera):
                        camera.picture.repeated(self._clock(), repeats)
                return shared
        self._drop(self._put(frame, camera, key))
        if frame in self._ledger:
            return Receipt("queued")
        return Receipt("skipped", SkipReason.OVERLOADED.value, _RETRY_OVERLOADED_S)

    async def ask(self, frame: Frame, *, admitted: bool = False) -> Outcome:
        """Offer a frame, or take an admitted one, and return its outcome, which is also published."""
        with self._ledger.outcome_of(frame) as outcome:
            await (self.take(frame) if admitted else self.offer(frame))
            return await outcome

    async def _key(self, frame: Frame, network: Network) -> Key | None:
        """What frames with the same answer have in common; None: answers are not cached."""
        if self.cache is None:
            return None
        size = network.sizes.best(frame.picture.size, self._pace.limits.max_side)
        arguments = (frame.picture.data, self.in_use.identity, size, frame.wanted)
        if len(frame.picture.data) <= BIG_BYTES:
            return key_of(*arguments)
        return await asyncio.get_running_loop().run_in_executor(None, key_of, *arguments)

    def _refuse(self, frame: Frame, outcome: Failed) -> Receipt:
        self._ledger.close(frame, outcome)
        return Receipt.of(outcome)

    def _put(self, frame: Frame, camera: Camera, key: Key | None) -> list[Lost]:
        """Open the frame and put it into its camera's mailbox; return what is dropped for it, perhaps this frame."""
        self._ledger.open(frame, key)
        policy = camera.policy
        return self._mailboxes.offer(
            frame, weight=policy.weight, priority=policy.priority, most=camera.most_in_flight,
            places=self._pace.places(camera),
        )  # fmt: skip

    async def run(self) -> None:
        """Serve frames until cancelled, then answer every frame that is still open."""
        loop = asyncio.get_running_loop()

        def report(frame: Frame, result: Answer | Exception) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and answered this frame when it stopped
                loop.call_soon_threadsafe(self._returned, frame, result)

        self._workers = Workers(
            mailboxes=self._mailboxes, process=self._infer, report=report, most=self._max_in_flight, clock=self._clock
        )
        self._start_workers()
        try:
            while True:
                await asyncio.sleep(self._tick_s)
                self._tidy()
        finally:
            self.admission.closed = True
            self._mailboxes.close()
            for frame in self._ledger.frames:
                self._conclude(frame, CLOSED)

    def swap(self, inference: Inference) -> Inference | None:
        """Use `inference` from the next frame on; return the previous one, in use until `settled` returns."""
        previous = self.in_use.swap(inference)
        self._start_workers()
        return previous

    async def settled(self) -> None:
        """Wait until every frame that is open now has its outcome."""
        await self._ledger.concluded(self._ledger.frames)

    def _start_workers(self) -> None:
        """Start as many workers as keep the network busy; extra workers of an earlier network stay."""
        if self._workers is not None and self.in_use.inference is not None:
            self._workers.grow_to(self.in_use.inference.threads)

    def _tidy(self) -> None:
        """Do the periodic work: send the cameras their limits, expire waiting frames, fail overdue ones."""
        now = self._clock()
        self._pace.used(self._mailboxes.take_usage(self._pace.usable_slots()))
        self._pace.update()
        self._book.forget_silent(now)
        self._mailboxes.keep(self._book)
        if self.cache is not None:
            self.cache.sweep()
        self._drop(self._mailboxes.expire())
        latest_s = now - self._mailboxes.max_age_s - self._deadline_s  # no frame waits longer than max_age_s
        for frame in [open_now for open_now in self._ledger.frames if open_now.received_s < latest_s]:
            self._failed(frame, EngineError(f"the engine did not answer within {self._deadline_s:.0f} s"))

    async def drain(self, timeout_s: float) -> None:
        """Refuse new frames and wait up to `timeout_s` for the open ones to be answered."""
        self.admission.closed = True
        with anyio.move_on_after(timeout_s):
            while open_now := self._ledger.frames:
                await self._ledger.concluded(open_now)

    def apply(self, limits: Limits) -> None:
        """Apply the governor's limits from the next frame on, and send the cameras their new pace."""
        if limits == self._pace.limits:
            return
        self._pace.apply(limits)
        if self.cache is not None:
            self.cache.shrink(limits.cache_part)
        self.in_use.apply(limits)
        self._mailboxes.wake()

    # These run on the workers' threads and read what only the event loop writes.

    def _infer(self, frame: Frame) -> Answer:
        inference = self.in_use.inference
        assert inference is not None  # no frame is accepted without it
        camera, limits = self._book.get(frame.camera), self._pace.limits
        last = camera.last_scene if camera and camera.one_view else None
        picture = camera.picture if camera else None
        return inference.run(frame, limits.max_side, last, limits.next_side, picture)

    def _max_in_flight(self) -> int:
        return self._pace.limits.max_in_flight

    # Back on the event loop.

    def _returned(self, frame: Frame, result: Answer | Exception) -> None:
        self.returned += 1
        if frame not in self._ledger:
            return  # too late: it already failed at the deadline
        if isinstance(result, Answer):
            self._answered(frame, result)
        else:
            self._failed(frame, result)

    def _answered(self, frame: Frame, answer: Answer) -> None:
        camera = self._book.get(frame.camera)
        timing = replace(answer.detected.timing, total_ms=self._ledger.age_ms(frame))
        if camera is not None:
            camera.last_scene = answer.scene or camera.last_scene  # a picture without cells says nothing
        self._conclude(frame, replace(answer.detected, timing=timing))
        # What is learned from the frame comes after its answer, and cannot cost it.
        log_slow(timing, self._slow_frame_s)
        if camera is not None:
            self._pace.waited(camera, timing.wait_ms / 1000)
        self.in_use.answered(frame, answer, camera)

    def _failed(self, frame: Frame, error: Exception) -> None:
        if isinstance(error, ApplianceError):
            outcome = Failed(error.code, str(error))
        else:
            outcome = Failed("engine_failed", f"the engine failed: {error}")
        log_failed(frame, error, outcome)
        if not isinstance(error, BadFrame):
            self.in_use.failed(frame)
        self._conclude(frame, outcome)

    def _conclude(self, frame: Frame, outcome: Outcome) -> None:
        """Close an open frame; if it was skipped, queue an identical frame of another camera in its place.

        If there is no room for that one, it is skipped too, and so on: a thousand cameras may show the same picture.
        """
        left: deque[tuple[Frame, Outcome]] = deque([(frame, outcome)])
        while left:
            successor = self._ledger.conclude(*left.popleft(), self._may_follow)
            if successor is not None:
                follower, key = successor
                lost = self._put(follower, self._book.enter(follower.camera), key)
                left.extend((one, self._skipped(one, reason)) for one, reason in lost)

    def _may_follow(self, frame: Frame) -> bool:
        """Whether the frame is still fresh enough to be queued now."""
        young = frame.received_s >= self._clock() - self._mailboxes.max_age_s
        return young and not self._mailboxes.holds_newer(frame)

    def _drop(self, lost: list[Lost]) -> None:
        for frame, reason in lost:
            self._conclude(frame, self._skipped(frame, reason))

    def _skipped(self, frame: Frame, reason: SkipReason) -> Skipped:
        """The outcome of a frame that is dropped, which has waited in vain."""
        camera = self._book.get(frame.camera)
        retry_s = _RETRY_OVERLOADED_S if reason is SkipReason.OVERLOADED else 0.0
        if camera is not None:
            self._pace.waited(camera, self._clock() - frame.received_s)
            if camera.announced is not None:
                retry_s = max(retry_s, camera.announced.min_interval_s)
        return Skipped(reason, retry_s)

    def owes(self, sender: str) -> bool:
        """Whether a frame of this sender still needs an outcome."""
        return self._ledger.owes(sender)

    @property
    def in_flight(self) -> int:
        """Frames that are being processed."""
        return self._mailboxes.in_flight

    @property
    def stuck(self) -> bool:
        """Whether an inference hangs: it is past the deadline and has raised no error."""
        return self._workers is not None and self._workers.longest_s() > self._deadline_s

    @property
    def waiting(self) -> int:
        return len(self._mailboxes)
