"""A detector with a fake engine that records the published outcomes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio

from appliance.flow.cache import Cache
from appliance.flow.cameras import CameraBook, CameraPolicy
from appliance.flow.detector import Detector
from appliance.flow.inference import Inference
from appliance.flow.mailboxes import Mailboxes
from appliance.flow.network_in_use import NetworkInUse
from appliance.flow.pace import Pace
from appliance.flow.scene_gate import SceneGate
from appliance.values import CameraLimits, Frame, Limits, Outcome
from appliance.vision.admission import Admission
from tests.fakes import FakeClock, FakeEngine, fake_network

FULL = Limits(64, 0.0, 8)


class Rig:
    """A detector and its parts. `published`: every outcome, in order."""

    def __init__(
        self,
        engine: FakeEngine | None = None,
        *,
        limits: Limits = FULL,
        cached: bool = True,
        gate: SceneGate | None = None,
        most_waiting: int = 100,
        most_bytes: int = 10**8,
        burst: int = 3,
        policies: dict[str, CameraPolicy] | None = None,
        admission: Admission | None = None,
        book: CameraBook | None = None,
    ) -> None:
        self.clock = FakeClock()
        self.engine = engine or FakeEngine()
        self.published: list[tuple[Frame, Outcome]] = []
        self.announced: list[tuple[str, CameraLimits]] = []
        self.publishing_fails: set[str] = set()
        """The cameras whose outcomes the publisher fails on, once it has recorded them."""
        self._news = asyncio.Event()
        self.book = book or CameraBook(policies=policies or {}, burst=burst)
        self.pace = Pace(
            self.book,
            limits=limits,
            announce=lambda name, limits: self.announced.append((name, limits)),
            jpeg_quality=80,
            clock=self.clock,
        )
        self.cache = Cache(entries=100, max_bytes=10**6, ttl_s=60, clock=self.clock) if cached else None
        inference = Inference(fake_network(self.engine), clock=self.clock, gate=gate, admission=admission)
        self.detector = Detector(
            in_use=NetworkInUse(inference, pace=self.pace, clock=self.clock),
            mailboxes=Mailboxes(max_cameras=most_waiting, max_bytes=most_bytes, max_age_s=2.0, clock=self.clock),
            cache=self.cache,
            book=self.book,
            pace=self.pace,
            publish=self._publish,
            clock=self.clock,
            tick_s=0.005,
        )

    def _publish(self, frame: Frame, outcome: Outcome) -> None:
        self.published.append((frame, outcome))
        self._news.set()
        if frame.camera in self.publishing_fails:
            raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")

    def outcomes(self, frame: Frame) -> list[Outcome]:
        sought = frame.camera, frame.frame_id  # the self-test numbers its frames too
        return [outcome for other, outcome in self.published if (other.camera, other.frame_id) == sought]

    async def outcome(self, frame: Frame) -> Outcome:
        """Wait for the frame's only outcome and return it."""
        await self.until(lambda: bool(self.outcomes(frame)))
        (outcome,) = self.outcomes(frame)
        return outcome

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition is true, checked after each published outcome and every few milliseconds."""
        with anyio.fail_after(10):
            while not condition():
                self._news.clear()
                with anyio.move_on_after(0.005):
                    await self._news.wait()

    async def started(self, inferences: int) -> None:
        """Wait until the engine has started this many inferences."""
        await self.until(lambda: self.engine.started >= inferences)


@asynccontextmanager
async def running(rig: Rig) -> AsyncIterator[Rig]:
    """Run the detector; cancel it at the end."""
    task = asyncio.create_task(rig.detector.run())
    try:
        yield rig
    finally:
        task.cancel()
        await asyncio.wait({task})
        rig.engine.release()
