"""The path of a frame: whatever happens, it is answered exactly once."""

from __future__ import annotations

import asyncio
import io
import threading
import tracemalloc

import pytest
from PIL import Image

from appliance.errors import ModelError
from appliance.flow.cameras import CameraPolicy
from appliance.flow.scene_gate import SceneGate
from appliance.values import Detected, Failed, Limits, ResultFilter, Size, Skipped, SkipReason, View
from appliance.vision import decode, scene
from appliance.vision.admission import Admission
from appliance.vision.view import make_view
from tests.fakes import FakeEngine, broken_engine
from tests.flow.detectors import FULL, Rig, running
from tests.flow.frames import frame, jpeg


async def test_a_frame_is_answered_with_the_detections_of_the_engine() -> None:
    async with running(Rig()) as rig:
        one = frame()
        assert (await rig.detector.offer(one)).status == "queued"
        outcome = await rig.outcome(one)
        assert isinstance(outcome, Detected)
        assert outcome.detections[0].name == "stop sign"
        assert outcome.cached is False
        assert outcome.image_size == Size(64, 48)


async def test_an_engine_failure_is_an_error_and_the_next_frame_is_inferred() -> None:
    async with running(Rig()) as rig:
        rig.engine.error = broken_engine()
        for count in (1, 2, 3):
            bad = frame()
            await rig.detector.offer(bad)
            assert await rig.outcome(bad) == Failed("engine_failed", "the chip is on fire")
            assert rig.detector.in_use.engine_failures == count
        rig.engine.error = None
        good = frame()
        await rig.detector.offer(good)
        assert isinstance(await rig.outcome(good), Detected)
        assert rig.detector.in_use.engine_failures == 0


async def test_an_unexpected_exception_counts_as_an_engine_failure() -> None:
    async with running(Rig()) as rig:
        rig.engine.error = ZeroDivisionError("surprise")
        bad = frame()
        await rig.detector.offer(bad)
        outcome = await rig.outcome(bad)
        assert isinstance(outcome, Failed)
        assert outcome.code == "engine_failed"


async def test_a_failure_is_not_cached() -> None:
    async with running(Rig()) as rig:
        rig.engine.error = broken_engine()
        first, second = frame(seed=1), frame(seed=1)
        await rig.detector.offer(first)
        await rig.outcome(first)
        rig.engine.error = None
        assert (await rig.detector.offer(second)).status == "queued"
        assert isinstance(await rig.outcome(second), Detected)


async def test_a_frame_fails_at_the_deadline_if_the_engine_hangs() -> None:
    async with running(Rig()) as rig:
        rig.engine.hold()
        stuck = frame()
        await rig.detector.offer(stuck)
        await rig.started(1)
        rig.clock.pass_(21)
        await asyncio.sleep(0.05)
        assert rig.outcomes(stuck) == []  # it may have waited in its mailbox first
        rig.clock.pass_(2)
        outcome = await rig.outcome(stuck)
        assert isinstance(outcome, Failed)
        assert outcome.code == "engine_failed"
        assert rig.detector.in_use.engine_failures == 1
        rig.engine.release()  # after the deadline
        after = frame(at_s=rig.clock())
        await rig.detector.offer(after)
        assert isinstance(await rig.outcome(after), Detected)
        assert len(rig.outcomes(stuck)) == 1


async def test_a_truncated_picture_is_an_invalid_frame_and_no_engine_failure() -> None:
    async with running(Rig()) as rig:
        half = frame(data=jpeg(3, 640, 480)[:9000])
        await rig.detector.offer(half)
        outcome = await rig.outcome(half)
        assert isinstance(outcome, Failed)
        assert outcome.code == "image_corrupt"
        assert rig.detector.in_use.engine_failures == 0


def large_png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4000, 3000)).save(file, "PNG", compress_level=1)
    return file.getvalue()


@pytest.mark.parametrize(("room", "code"), [(40_000_000, "image_too_large"), (200_000_000, None), (None, None)])
async def test_only_a_picture_that_does_not_fit_in_memory_is_refused(room: int | None, code: str | None) -> None:
    async with running(Rig(admission=Admission(lambda: room))) as rig:
        large, usual = frame(data=large_png()), frame("other")
        for one in (large, usual):
            await rig.detector.offer(one)
        assert isinstance(await rig.outcome(usual), Detected)
        outcome = await rig.outcome(large)
        assert (outcome.code if isinstance(outcome, Failed) else None) == code
        assert rig.detector.in_use.engine_failures == 0


async def test_large_pictures_of_many_cameras_are_all_answered_in_turn() -> None:
    data = large_png()
    async with running(Rig(FakeEngine(slots=3))) as rig:
        frames = [frame(f"camera{number}", data=data + bytes(number)) for number in range(4)]
        for one in frames:
            await rig.detector.offer(one)
        for one in frames:
            assert isinstance(await rig.outcome(one), Detected)


async def test_a_waiting_frame_is_superseded_by_a_newer_one() -> None:
    async with running(Rig(FakeEngine(slots=1), limits=Limits(64, 0.0, 1))) as rig:
        rig.engine.hold()
        served, waiting, newest = frame(), frame(), frame()
        await rig.detector.offer(served)
        await rig.started(1)
        await rig.detector.offer(waiting)
        await rig.detector.offer(newest)
        outcome = await rig.outcome(waiting)
        assert isinstance(outcome, Skipped)
        assert outcome.reason is SkipReason.SUPERSEDED
        rig.engine.release()
        assert isinstance(await rig.outcome(served), Detected)
        assert isinstance(await rig.outcome(newest), Detected)
        assert rig.engine.started == 2


async def test_no_frame_of_a_camera_that_keeps_to_its_limits_is_superseded() -> None:
    async with running(Rig(FakeEngine(slots=1), limits=Limits(64, 0.0, 1))) as rig:
        interval_s = rig.pace.join("gate").min_interval_s
        rig.engine.hold()
        sent = []
        for _ in range(4):
            rig.clock.pass_(interval_s)
            sent.append(frame(at_s=rig.clock()))
            await rig.detector.offer(sent[-1])
        rig.engine.release()
        for one in sent:
            assert isinstance(await rig.outcome(one), Detected)


async def test_a_frame_that_waited_too_long_is_expired_and_never_inferred() -> None:
    async with running(Rig(limits=Limits(64, 0.0, 1))) as rig:
        rig.engine.hold()
        served, late = frame("a"), frame("b")
        await rig.detector.offer(served)
        await rig.started(1)
        await rig.detector.offer(late)
        rig.clock.pass_(2.5)
        rig.engine.release()
        outcome = await rig.outcome(late)
        assert isinstance(outcome, Skipped)
        assert outcome.reason is SkipReason.EXPIRED
        assert rig.engine.started == 1


async def test_a_paused_detector_refuses_at_once() -> None:
    async with running(Rig()) as rig:
        rig.detector.apply(Limits(64, 0.0, 1, admit=False, reason="critical_temperature"))
        one = frame()
        receipt = await rig.detector.offer(one)
        assert (receipt.status, receipt.reason) == ("skipped", "overloaded")
        (outcome,) = rig.outcomes(one)
        assert isinstance(outcome, Skipped)
        assert outcome.retry_after_s == receipt.retry_after_s
        assert rig.engine.started == 0


async def test_too_many_waiting_cameras_get_overloaded() -> None:
    rig = Rig(most_waiting=1)  # the detector is not running: every frame waits
    assert (await rig.detector.offer(frame("a"))).status == "queued"
    late = frame("b")
    receipt = await rig.detector.offer(late)
    assert (receipt.status, receipt.reason) == ("skipped", "overloaded")
    assert receipt.retry_after_s
    (outcome,) = rig.outcomes(late)
    assert isinstance(outcome, Skipped)


async def test_a_camera_that_sends_too_soon_gets_a_retry_time() -> None:
    async with running(Rig(limits=Limits(64, 2.0, 8), burst=1)) as rig:
        early = [frame(at_s=rig.clock()) for _ in range(2)]
        assert (await rig.detector.offer(early[0])).status == "queued"
        receipt = await rig.detector.offer(early[1])
        assert (receipt.status, receipt.reason) == ("skipped", "rate_limited")
        assert receipt.retry_after_s == pytest.approx(2.0)
        rig.clock.pass_(2.0)
        again = frame(at_s=rig.clock())
        assert (await rig.detector.offer(again)).status == "queued"
        assert isinstance(await rig.outcome(again), Detected)


async def test_a_frame_is_refused_early_only_if_it_is_too_early() -> None:
    async with running(Rig(limits=Limits(64, 2.0, 8), burst=1)) as rig:
        rig.pace.join("gate")
        assert not rig.detector.admission.is_early("gate")
        assert rig.detector.admission.refuse_early("gate") is None
        assert not rig.detector.admission.is_early("unknown")
        assert rig.detector.admission.refuse_early("unknown") is None
        assert (await rig.detector.offer(frame("gate", at_s=rig.clock()))).status == "queued"
        rig.clock.pass_(0.5)
        assert rig.detector.admission.is_early("gate")
        refusal = rig.detector.admission.refuse_early("gate")
        assert refusal is not None
        assert refusal.reason is SkipReason.RATE_LIMITED
        assert refusal.retry_after_s == pytest.approx(1.5)
        camera = rig.book.get("gate")
        assert camera is not None
        assert (camera.received, camera.skipped["rate_limited"]) == (2, 1)
        rig.clock.pass_(1.5)
        assert not rig.detector.admission.is_early("gate")
        assert rig.detector.admission.refuse_early("gate") is None
        assert camera.received == 2


async def test_a_camera_can_have_a_slower_pace_than_the_others() -> None:
    async with running(Rig(burst=1, policies={"slow": CameraPolicy(min_interval_s=5.0)})) as rig:
        for name, expected in (("slow", "skipped"), ("fast", "queued")):
            await rig.detector.offer(frame(name))
            assert (await rig.detector.offer(frame(name))).status == expected


async def test_identical_frames_are_inferred_once_and_all_are_answered() -> None:
    async with running(Rig()) as rig:
        rig.engine.hold()
        same = [frame(name, seed=7) for name in "abcde"]
        for one in same:
            assert (await rig.detector.offer(one)).status == "queued"
        rig.engine.release()
        outcomes = [await rig.outcome(one) for one in same]
        assert rig.engine.started == 1
        assert all(isinstance(outcome, Detected) for outcome in outcomes)
        assert sorted(str(outcome.cached) for outcome in outcomes if isinstance(outcome, Detected)) == [
            "False", "exact", "exact", "exact", "exact",
        ]  # fmt: skip


async def test_identical_frames_that_wait_hold_one_picture() -> None:
    """Bytes beyond the end of a JPEG count as all others do: each of these frames has 300 kB of its own."""
    rig = Rig(most_bytes=10**6)  # the detector is not running: every frame waits
    tracemalloc.start()
    try:
        for number in range(40):
            one = frame(data=jpeg(7) + bytes(300_000), at_s=1000.0 + number / 20)
            assert (await rig.detector.offer(one)).status == "queued"
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2_000_000


async def test_a_frame_that_cannot_be_published_leaves_no_other_one_without_an_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(Rig()) as rig:
        rig.publishing_fails = {"a", "b"}
        rig.engine.hold()
        frames = [frame(name, seed=7) for name in "abcd"]
        for one in frames:
            await rig.detector.offer(one)
        await rig.started(1)
        rig.engine.release()
        for one in frames:
            assert isinstance(await rig.outcome(one), Detected)
        later = frame("d", seed=7)
        assert (await rig.detector.offer(later)).status == "cached"
        assert isinstance(await rig.detector.ask(frame("a", seed=8)), Detected)
    assert "could not publish the outcome of a frame of camera a" in caplog.text


async def test_followers_share_a_failure() -> None:
    async with running(Rig()) as rig:
        rig.engine.error = broken_engine()
        rig.engine.hold()
        same = [frame(name, seed=7) for name in "abc"]
        for one in same:
            await rig.detector.offer(one)
        rig.engine.release()
        assert {await rig.outcome(one) for one in same} == {Failed("engine_failed", "the chip is on fire")}


async def test_a_frame_is_not_lost_because_another_camera_sent_something_newer() -> None:
    async with running(Rig(limits=Limits(64, 0.0, 1))) as rig:
        rig.engine.hold()
        await rig.detector.offer(frame("busy"))
        await rig.started(1)
        leader, follower, newer = frame("a", seed=7), frame("b", seed=7), frame("a")
        for one in (leader, follower, newer):
            await rig.detector.offer(one)
        rig.engine.release()
        assert isinstance(await rig.outcome(newer), Detected)
        assert isinstance(await rig.outcome(follower), Detected)


async def test_a_thousand_cameras_with_one_picture_are_all_answered_without_room_for_it() -> None:
    """A picture of an encoder without a camera is the same on all its channels."""
    same, other, newer = jpeg(7), jpeg(8, 320, 240), jpeg(9, 32, 32)
    assert len(newer) < len(same)
    rig = Rig(most_waiting=2000, most_bytes=len(same) + len(other))  # the detector is not running: every frame waits
    leader, *followers = (frame(f"channel {number}", data=same) for number in range(1000))
    for one in (leader, *followers, frame("yard", data=other)):
        assert (await rig.detector.offer(one)).status == "queued"
    filling = newer + bytes(len(same) - len(newer))
    await rig.detector.offer(frame(leader.camera, data=filling, at_s=leader.received_s + 0.1))
    (first,), later = rig.outcomes(leader), [rig.outcomes(one) for one in followers]
    assert isinstance(first, Skipped)
    assert first.reason is SkipReason.SUPERSEDED
    assert all(len(outcomes) == 1 and isinstance(outcomes[0], Skipped) for outcomes in later)


async def test_a_repeated_picture_is_answered_from_the_cache_and_marked_exact() -> None:
    async with running(Rig()) as rig:
        first = frame("a", seed=1)
        await rig.detector.offer(first)
        await rig.outcome(first)
        again = frame("b", seed=1)
        assert (await rig.detector.offer(again)).status == "cached"
        (outcome,) = rig.outcomes(again)
        assert isinstance(outcome, Detected)
        assert outcome.cached == "exact"
        assert rig.engine.started == 1


@pytest.mark.parametrize("change", ["wanted", "max_side", "last_byte", "too_old"])
async def test_a_frame_that_differs_in_any_way_is_inferred_again(change: str) -> None:
    async with running(Rig()) as rig:
        first = frame(seed=1)
        await rig.detector.offer(first)
        await rig.outcome(first)
        again = frame(seed=1)
        if change == "wanted":
            again = frame(seed=1, wanted=ResultFilter(0.9))
        elif change == "max_side":
            rig.detector.apply(Limits(96, 0.0, 8, reason="x"))
        elif change == "last_byte":
            again = frame(data=jpeg(1) + b"\0")
        else:
            rig.clock.pass_(61)
            again = frame(seed=1, at_s=rig.clock())
        assert (await rig.detector.offer(again)).status == "queued"
        await rig.outcome(again)
        assert rig.engine.started == 2


async def test_without_a_cache_every_frame_is_inferred() -> None:
    async with running(Rig(cached=False)) as rig:
        for expected in (1, 2):
            one = frame(seed=1)
            await rig.detector.offer(one)
            await rig.outcome(one)
            assert rig.engine.started == expected


async def test_without_a_model_every_frame_gets_the_models_error() -> None:
    rig = Rig()
    rig.detector.in_use.inference, rig.detector.in_use.model_error = None, ModelError("no such folder", "model_missing")
    one = frame()
    receipt = await rig.detector.offer(one)
    assert (receipt.status, receipt.reason) == ("error", "model_missing")
    assert rig.outcomes(one) == [Failed("model_missing", "no such folder")]


async def test_an_unknown_class_is_refused_with_the_nearest_match() -> None:
    rig = Rig()
    one = frame(wanted=ResultFilter(0.25, frozenset({"car", "persom"})))
    assert (await rig.detector.offer(one)).reason == "option_invalid"
    (outcome,) = rig.outcomes(one)
    assert isinstance(outcome, Failed)
    assert "did you mean 'person'?" in outcome.message


async def test_shutting_down_answers_waiting_frames_and_frames_in_flight() -> None:
    rig = Rig(limits=Limits(64, 0.0, 1))
    frames = [frame("a", seed=1), frame("b", seed=2), frame("c", seed=2), frame("d", seed=1)]
    async with running(rig):
        rig.engine.hold()
        await rig.detector.offer(frames[0])
        await rig.started(1)
        for one in frames[1:]:
            await rig.detector.offer(one)
        task = asyncio.create_task(rig.detector.drain(0.02))  # the engine does not answer in time
        await task
    for one in frames:
        (outcome,) = rig.outcomes(one)
        assert isinstance(outcome, Failed)
        assert outcome.code == "shutting_down"
    late = frame()
    assert (await rig.detector.offer(late)).reason == "shutting_down"
    assert len(rig.outcomes(late)) == 1


async def test_draining_waits_for_waiting_frames_and_frames_in_flight() -> None:
    async with running(Rig(limits=Limits(64, 0.0, 1))) as rig:
        rig.engine.hold()
        frames = [frame(name) for name in "abc"]
        for one in frames:
            await rig.detector.offer(one)
        await rig.started(1)
        draining = asyncio.create_task(rig.detector.drain(10))
        await asyncio.sleep(0)
        refused = frame("d")
        assert (await rig.detector.offer(refused)).reason == "shutting_down"
        rig.engine.release()
        await asyncio.wait_for(draining, 5)
        assert all(isinstance(rig.outcomes(one)[0], Detected) for one in frames)


async def test_draining_ends_when_the_last_waiting_frame_expires() -> None:
    async with running(Rig(limits=Limits(64, 0.0, 1))) as rig:
        rig.engine.hold()
        served, late = frame("a"), frame("b")
        await rig.detector.offer(served)
        await rig.started(1)
        await rig.detector.offer(late)
        rig.clock.pass_(3)
        draining = asyncio.create_task(rig.detector.drain(60))
        await asyncio.sleep(0)
        rig.engine.release()
        await asyncio.wait_for(draining, 5)
        assert rig.outcomes(late) == [Skipped(SkipReason.EXPIRED, 0)]


async def test_a_large_frame_whose_digest_is_ready_after_shutdown_is_answered() -> None:
    """The digest is computed on a thread; here all threads are busy until the detector has stopped."""
    rig = Rig()
    large = frame(data=jpeg(1, 1200, 900) + bytes(300_000))
    busy = threading.Event()
    loop = asyncio.get_running_loop()
    async with running(rig):
        blocked = [loop.run_in_executor(None, busy.wait, 10) for _ in range(64)]
        offering = asyncio.create_task(rig.detector.offer(large))
        await asyncio.sleep(0.01)
        assert not offering.done()
    busy.set()
    await offering
    await asyncio.gather(*blocked)
    (outcome,) = rig.outcomes(large)
    assert isinstance(outcome, Failed)
    assert outcome.code == "shutting_down"


async def test_ask_returns_the_published_outcome() -> None:
    async with running(Rig()) as rig:
        one = frame()
        outcome = await rig.detector.ask(one)
        assert isinstance(outcome, Detected)
        assert rig.outcomes(one) == [outcome]
        rig.detector.apply(Limits(64, 0.0, 1, admit=False))
        assert isinstance(await rig.detector.ask(frame()), Skipped)


async def test_a_camera_may_disconnect_while_its_frame_is_in_flight() -> None:
    async with running(Rig()) as rig:
        rig.pace.join("gate")
        rig.engine.hold()
        one = frame()
        await rig.detector.offer(one)
        await rig.started(1)
        rig.book.leave("gate")
        rig.engine.release()
        assert isinstance(await rig.outcome(one), Detected)
        assert rig.book.get("gate") is None


async def test_outcomes_are_counted_per_camera() -> None:
    async with running(Rig()) as rig:
        rig.pace.join("gate")
        for seed in (1, 1):
            one = frame(seed=seed)
            await rig.detector.offer(one)
            await rig.outcome(one)
        rig.detector.apply(Limits(64, 0.0, 1, admit=False))
        await rig.detector.offer(frame())
        stats = rig.pace.stats()["gate"]
        assert (stats.received, stats.answered, stats.cached, stats.skipped) == (3, 2, 1, {"overloaded": 1})


async def test_frames_in_flight_never_exceed_the_limit() -> None:
    async with running(Rig(FakeEngine(slots=4), limits=Limits(64, 0.0, 2))) as rig:
        rig.engine.hold()
        for name in "abcdef":
            await rig.detector.offer(frame(name))
        await rig.started(2)
        await asyncio.sleep(0.02)
        assert rig.engine.started == rig.detector.in_flight == 2
        rig.detector.apply(FULL)
        await rig.until(lambda: rig.detector.in_flight == 5)  # one more than it has slots
        await asyncio.sleep(0.02)
        assert rig.detector.in_flight == 5
        assert rig.engine.started == 4


async def test_an_unchanged_scene_is_answered_from_the_last_inference_until_it_is_due() -> None:
    def scenery(seed: int, at: float = 0.5) -> bytes:
        return decode.encode_jpeg(scene.draw(Size(1920, 1080), at, seed=seed)[0], 80)

    async with running(Rig(gate=SceneGate(10.0, audited=0.0))) as rig:
        answers, ages = [], []
        for data, seconds in (
            (scenery(1), 0.0),  # inferred
            (scenery(6), 1.0),  # a second answer has to agree with the first
            (scenery(2), 1.0),  # the same scene with different noise
            (scenery(3, at=0.1), 1.0),  # the sign moved
            (scenery(4, at=0.1), 1.0),
            (scenery(5, at=0.1), 10.0),  # the refresh is due
        ):
            rig.clock.pass_(seconds)
            one = frame(data=data, at_s=rig.clock())
            await rig.detector.offer(one)
            outcome = await rig.outcome(one)
            assert isinstance(outcome, Detected)
            answers.append(outcome.cached)
            ages.append({round(found.age_s, 1) for found in outcome.detections})
        assert answers == [False, False, "unchanged", False, "unchanged", False]
        assert rig.engine.started == 4
        assert ages == [{0.0}, {0.0}, {1.0}, {0.0}, {1.0}, {0.0}]


async def test_a_change_behind_a_mask_is_not_a_change_of_the_scene() -> None:
    masked = ResultFilter(0.25, view=make_view(masks=[((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))]))
    half = ResultFilter(0.25, view=make_view(masks=[((0.3, 0.0), (1.0, 0.0), (1.0, 1.0), (0.3, 1.0))]))
    unmasked, never = ResultFilter(0.25), [False] * 3
    for wanted, expected in ((unmasked, never), (half, [False, False, "unchanged"]), (masked, never)):
        async with running(Rig(gate=SceneGate(10.0, audited=0.0))) as rig:
            answers = []
            for seed, at in ((1, 0.5), (3, 0.5), (2, 0.8)):
                picture = decode.encode_jpeg(scene.draw(Size(1920, 1080), at, seed=seed)[0], 80)
                one = frame(data=picture, at_s=rig.clock(), wanted=wanted)
                await rig.detector.offer(one)
                outcome = await rig.outcome(one)
                assert isinstance(outcome, Detected)
                answers.append(outcome.cached)
            assert answers == expected


async def test_cameras_with_different_views_do_not_share_answers() -> None:
    async with running(Rig()) as rig:
        for view, cached in (
            (View(), False),
            (make_view(classes=["car"]), False),
            (make_view(classes=["car"]), "exact"),
        ):
            one = frame(seed=7, wanted=ResultFilter(0.25, view=view))
            await rig.detector.offer(one)
            outcome = await rig.outcome(one)
            assert isinstance(outcome, Detected)
            assert outcome.cached == cached
            assert [found.name for found in outcome.detections] == ([] if view.digest else ["stop sign"])
