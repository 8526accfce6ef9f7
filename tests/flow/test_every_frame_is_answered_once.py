"""The guarantee of flow/detector.py under any order of events that Hypothesis generates."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from appliance.flow.cameras import CameraPolicy
from appliance.flow.inference import Inference
from appliance.values import Detected, Failed, Frame, Limits, Receipt, ResultFilter, Skipped
from tests.fakes import FakeEngine, broken_engine, fake_network
from tests.flow.detectors import Rig
from tests.flow.frames import frame, jpeg

CAMERAS = ("a", "b", "c", "vip", "slow")
DATA = [*(jpeg(n) for n in range(4)), jpeg(5)[:-200], jpeg(6, 900, 700) + bytes(300_000)]
"""A few pictures, so that frames often repeat; a truncated one; and one whose digest is computed on a thread."""


class EveryFrameIsAnsweredOnce(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.rig = self._await(self._make())
        self.task: asyncio.Task[None] | None = self.loop.create_task(self.rig.detector.run())
        self.offered: list[tuple[Frame, asyncio.Task[Receipt]]] = []
        self.formers: list[FakeEngine] = []
        self.releasing: list[asyncio.Task[None]] = []

    async def _make(self) -> Rig:
        policies = {"vip": CameraPolicy(weight=4, priority=1), "slow": CameraPolicy(min_interval_s=1.0)}
        return Rig(FakeEngine(slots=2), most_waiting=3, policies=policies)

    def _await(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(coroutine)

    def _steps(self, seconds: float = 0.0) -> None:
        self._await(asyncio.sleep(seconds))

    @rule(
        camera=st.sampled_from(CAMERAS),
        picture=st.integers(0, len(DATA) - 1),
        wanted=st.sampled_from([None, "car", "carr"]),
    )
    def offer(self, camera: str, picture: int, wanted: str | None) -> None:
        results = ResultFilter(0.25, frozenset({wanted}) if wanted else None)
        one = frame(camera, data=DATA[picture], at_s=self.rig.clock(), wanted=results)
        self.offered.append((one, self.loop.create_task(self.rig.detector.offer(one))))
        self._steps()

    @rule(camera=st.sampled_from(CAMERAS))
    def join(self, camera: str) -> None:
        self.rig.pace.join(camera)

    @rule(camera=st.sampled_from(CAMERAS))
    def leave(self, camera: str) -> None:
        self.rig.book.leave(camera)

    @rule()
    def the_engine_holds(self) -> None:
        self.rig.engine.hold()

    @rule()
    def the_engine_resumes(self) -> None:
        self._release()
        self._steps()

    def _release(self) -> None:
        for engine in (self.rig.engine, *self.formers):
            engine.release()

    @rule(fails=st.booleans())
    def the_engine_fails_or_recovers(self, fails: bool) -> None:
        self.rig.engine.error = broken_engine() if fails else None

    @rule(cameras=st.sets(st.sampled_from(CAMERAS)))
    def publishing_fails_or_recovers(self, cameras: set[str]) -> None:
        self.rig.publishing_fails = cameras

    @rule(
        side=st.sampled_from([64, 96]),
        interval_s=st.sampled_from([0.0, 0.5]),
        in_flight=st.integers(1, 3),
        admit=st.booleans(),
    )
    def limits_change(self, side: int, interval_s: float, in_flight: int, admit: bool) -> None:
        self.rig.detector.apply(Limits(side, interval_s, in_flight, admit))
        self._steps()

    @rule(name=st.sampled_from(["fake", "other"]))
    def the_network_is_replaced(self, name: str) -> None:
        former, self.rig.engine = self.rig.engine, FakeEngine(slots=2)
        self.formers.append(former)
        self.rig.detector.swap(Inference(fake_network(self.rig.engine, name), clock=self.rig.clock))
        self.releasing.append(self.loop.create_task(self._close_when_settled(former)))

    async def _close_when_settled(self, former: FakeEngine) -> None:
        await self.rig.detector.settled()
        former.close()

    @rule(seconds=st.sampled_from([0.1, 1.0, 2.5, 70.0]))
    def time_passes(self, seconds: float) -> None:
        self.rig.clock.pass_(seconds)

    @rule()
    def threads_run(self) -> None:
        self._steps(0.002)

    @precondition(lambda self: self.task is not None)
    @rule(drain_s=st.sampled_from([0.0, 0.002]))
    def the_service_stops(self, drain_s: float) -> None:
        self._await(self.rig.detector.drain(drain_s))
        self._end()

    def _end(self) -> None:
        if self.task is not None:
            self.task.cancel()
            self._await(asyncio.wait({self.task}))
            self.task = None

    @invariant()
    def no_frame_is_answered_twice(self) -> None:
        counts = Counter(one.frame_id for one, _ in self.rig.published)
        assert all(count == 1 for count in counts.values())

    @invariant()
    def only_offered_frames_are_answered(self) -> None:
        assert {one.frame_id for one, _ in self.rig.published} <= {one.frame_id for one, _ in self.offered}

    @invariant()
    def the_limits_hold(self) -> None:
        assert self.rig.detector.waiting <= 3
        assert self.rig.detector.in_flight <= 3

    def teardown(self) -> None:
        try:
            if self.task is not None:
                # A running detector answers every frame once its engine does.
                self._release()
                self._await(self._offers_end())
                self._await(self.rig.until(lambda: len(self.rig.published) == len(self.offered)))
            self._end()
            self._await(self._offers_end())
            for one, offering in self.offered:
                (outcome,) = self.rig.outcomes(one)
                fits = {
                    "queued": (Detected, Failed, Skipped),
                    "cached": (Detected,),
                    "skipped": (Skipped,),
                    "error": (Failed,),
                }[offering.result().status]
                assert isinstance(outcome, fits)
                if isinstance(outcome, Failed):
                    assert outcome.code in ("engine_failed", "image_corrupt", "shutting_down", "option_invalid")
                    assert "closed" not in outcome.message  # no network was closed while a frame used it
            self._await(self._releases_end())
            self._release()
            self._await(self.rig.until(lambda: self.rig.detector.in_flight == 0))
            assert self.rig.detector.waiting == 0
            assert not self.rig.detector._ledger._same
            assert not self.rig.detector._ledger.frames
        finally:
            self._await(self.loop.shutdown_default_executor())
            self.loop.close()

    async def _releases_end(self) -> None:
        await asyncio.wait_for(asyncio.gather(*self.releasing), 10)

    async def _offers_end(self) -> None:
        await asyncio.gather(*(offering for _, offering in self.offered))


EveryFrameIsAnsweredOnce.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
test_every_offered_frame_is_answered_exactly_once = EveryFrameIsAnsweredOnce.TestCase
