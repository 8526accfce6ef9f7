"""A fault in a stage that answers do not need costs no answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from appliance.flow.camera_cost import CameraCost
from appliance.flow.cameras import CameraBook
from appliance.flow.crops.crops import Crops, Views
from appliance.flow.inference import Inference
from appliance.flow.picture_watch import PictureWatch
from appliance.flow.scene_gate import GateLook, GateRequest, LastScene, SceneGate
from appliance.flow.tracks import Tracks
from appliance.values import Detected, Detection, Frame, ModelInfo, ResultFilter, Size
from appliance.vision import decode
from appliance.vision.thumbnail import Cells
from tests.fakes import FakeClock, FakeEngine, fake_network
from tests.flow.detectors import Rig, running
from tests.flow.frames import frame


class FaultyTracks:
    """Tracks that fail on every frame while `fails`."""

    def __init__(self) -> None:
        self.tracks = Tracks(5.0, clock=lambda: 0.0).camera()
        self.fails = False

    def follow(self, answer: Detected, at_s: float) -> Detected:
        if self.fails:
            raise ZeroDivisionError("a box without area")
        return self.tracks.follow(answer, at_s)

    def predicted(self, at_s: float) -> Detected | None:
        return self.tracks.predicted(at_s)

    def close(self) -> None:
        self.tracks.close()


class FaultyGate(SceneGate):
    """A scene gate that fails in one of its parts."""

    def __init__(self, part: str) -> None:
        super().__init__(5.0, 0.0)
        self._part = part

    def look(
        self, last: LastScene | None, cells: Cells, request: GateRequest, model: ModelInfo, now_s: float
    ) -> GateLook | None:
        if self._part == "look":
            raise ValueError("operands could not be broadcast together")
        return super().look(last, cells, request, model, now_s)

    def held(self, last: LastScene, look: GateLook) -> LastScene:
        if self._part == "held":
            raise ValueError("operands could not be broadcast together")
        return super().held(last, look)

    def inferred(
        self,
        last: LastScene | None,
        look: GateLook,
        request: GateRequest,
        model: ModelInfo,
        answer: Detected,
        now_s: float,
    ) -> LastScene:
        if self._part == "inferred":
            raise ValueError("operands could not be broadcast together")
        return super().inferred(last, look, request, model, answer, now_s)


class FaultyCrops(Crops):
    """Crops that fail in one of their parts."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self._part = part

    def applies(self, frame: Frame, whole: Size, crop: Size) -> bool:
        if self._part == "applies":
            raise KeyError(frame.camera)
        return super().applies(frame, whole, crop)

    def plan(self, frame: Frame, cells: Cells, whole: Size, crop: Size, *, audits: bool) -> Views:
        if self._part == "plan":
            raise KeyError(frame.camera)
        return super().plan(frame, cells, whole, crop, audits=audits)

    def conclude(self, frame: Frame, views: Views, found: Sequence[tuple[Detection, ...]]) -> tuple[Detection, ...]:
        if self._part == "conclude":
            raise KeyError(frame.camera)
        return super().conclude(frame, views, found)


class FaultyWatch(PictureWatch):
    """A watch over pictures that fails on each of them."""

    def look(self, pixels: object, now_s: float) -> None:
        raise IndexError("index 7 is out of bounds")

    def repeated(self, now_s: float, identical: bool) -> None:
        raise IndexError("index 7 is out of bounds")


async def test_tracks_that_fail_cost_no_answer_and_no_other_frame(caplog: pytest.LogCaptureFixture) -> None:
    made: list[FaultyTracks] = []

    def new_tracks() -> FaultyTracks:
        made.append(FaultyTracks())
        return made[-1]

    async with running(Rig(book=CameraBook(policies={}, burst=9, new_tracks=new_tracks))) as rig:
        rig.engine.hold()
        frames = [frame(name, seed=7) for name in "abcd"]
        for one in frames:
            await rig.detector.offer(one)
        made[0].fails = made[2].fails = True
        await rig.started(1)
        rig.engine.release()
        tracked = []
        for one in frames:
            outcome = await rig.outcome(one)
            assert isinstance(outcome, Detected)
            assert outcome.detections
            tracked.append(outcome.detections[0].track is not None)
        assert tracked == [False, True, False, True]
        assert rig.detector.in_use.engine_failures == 0
    assert "a frame of camera a goes on without tracks, which failed" in caplog.text


class FaultyCost(CameraCost):
    """Fails to learn what a frame costs."""

    def note(self, side: int, cost_s: float) -> None:
        raise ZeroDivisionError("a size of nothing")


async def test_what_cannot_be_learned_from_a_frame_costs_no_answer() -> None:
    errors: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context["exception"]))
    async with running(Rig(cached=False)) as rig:
        rig.book.enter("a").cost = FaultyCost()
        assert isinstance(await rig.detector.ask(frame("a", seed=1, at_s=rig.clock())), Detected)
        assert isinstance(await rig.detector.ask(frame("b", seed=2, at_s=rig.clock())), Detected)
    assert [str(error) for error in errors] == ["a size of nothing"]


async def test_objects_begin_again_after_tracks_failed() -> None:
    tracks = FaultyTracks()
    async with running(Rig(cached=False, book=CameraBook(policies={}, burst=9, new_tracks=lambda: tracks))) as rig:

        async def track_of(seed: int) -> int | None:
            outcome = await rig.detector.ask(frame("a", seed=seed, at_s=rig.clock()))
            assert isinstance(outcome, Detected)
            return outcome.detections[0].track.track_id if outcome.detections[0].track is not None else None

        assert await track_of(1) == 1
        assert await track_of(2) == 1
        tracks.fails = True
        assert await track_of(3) is None
        assert tracks.predicted(rig.clock()) is None
        tracks.fails = False
        assert await track_of(4) == 2


@pytest.mark.parametrize("part", ["look", "held", "inferred"])
async def test_a_scene_gate_that_fails_costs_no_answer(part: str, caplog: pytest.LogCaptureFixture) -> None:
    async with running(Rig(cached=False, gate=FaultyGate(part))) as rig:
        for number in range(4):
            outcome = await rig.detector.ask(frame("a", seed=1, at_s=rig.clock()))
            assert isinstance(outcome, Detected)
            assert len(outcome.detections) == 1, number
            rig.clock.pass_(0.5)
    assert "goes on without the scene gate, which failed" in caplog.text


@pytest.mark.parametrize("part", ["applies", "plan", "conclude"])
def test_crops_that_fail_leave_the_whole_picture(part: str, caplog: pytest.LogCaptureFixture) -> None:
    clock, engine = FakeClock(), FakeEngine()
    inference = Inference(fake_network(engine), clock=clock, crops=FaultyCrops(part))
    noise = np.random.default_rng(1).integers(60, 120, (90, 160, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    picture = decode.read_header(decode.encode_jpeg(np.ascontiguousarray(noise), 90), 10**7)
    answer = inference.run(Frame("a", "a", 1, picture, ResultFilter(0.25), clock()), 640)
    assert len(answer.detected.detections) == 1
    assert answer.detected.regions == ()
    assert "goes on without crops, which failed" in caplog.text


@pytest.mark.parametrize("cached", [True, False])
async def test_a_watch_over_pictures_that_fails_costs_no_answer(cached: bool, caplog: pytest.LogCaptureFixture) -> None:
    async with running(Rig(cached=cached, gate=SceneGate(5.0, 0.0))) as rig:
        rig.book.enter("a").picture = FaultyWatch()
        for _ in range(4):
            outcome = await rig.detector.ask(frame("a", seed=1, at_s=rig.clock()))
            assert isinstance(outcome, Detected)
            rig.clock.pass_(0.5)
    assert "goes on without the watch over its pictures, which failed" in caplog.text
