"""Swapping the network while frames flow: no frame is lost or fails, and a bad model changes nothing."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from appliance.errors import EngineError, ModelError
from appliance.flow.activation import BUSY, Activation
from appliance.flow.inference import Inference
from appliance.flow.scene_gate import SceneGate
from appliance.flow.sizes import Sizes
from appliance.flow.trial import ModelTrial, TrialBounds
from appliance.models import active
from appliance.ports import Raw, T, Tensor
from appliance.service import loading
from appliance.values import Detected, Failed, Size
from tests.conftest import Serve
from tests.fakes import CANARY_ROWS, FakeEngine, fake_network
from tests.flow.detectors import Rig, running
from tests.flow.frames import frame, jpeg
from tests.models.bundles import make_bundles
from tests.web.camera import ANSWERS, camera

ELSEWHERE = ((20.0, 20.0, 60.0, 60.0, 0.9, 0),)


def people(count: int) -> list[tuple[float, ...]]:
    """Return the output rows for this many people side by side."""
    return [(40.0 * n, 240.0, 40.0 * n + 30, 300.0, 0.9, 0) for n in range(count)]


def inference(rig: Rig, engine: FakeEngine, name: str = "other", gate: SceneGate | None = None) -> Inference:
    return Inference(fake_network(engine, name), clock=rig.clock, gate=gate)


async def test_a_frame_finishes_on_the_network_it_started_on() -> None:
    async with running(Rig()) as rig:
        rig.engine.hold()
        first, later = frame("a"), frame("b")
        await rig.detector.offer(first)
        await rig.started(1)
        new = FakeEngine(ELSEWHERE)
        former = rig.detector.swap(inference(rig, new))
        assert former is not None
        settled = asyncio.create_task(rig.detector.settled())
        await rig.detector.offer(later)
        outcome = await rig.outcome(later)
        assert isinstance(outcome, Detected)
        assert (outcome.model, outcome.detections[0].name) == ("other", "person")
        assert not settled.done()
        rig.engine.release()
        finished = await rig.outcome(first)
        assert isinstance(finished, Detected)
        assert (finished.model, finished.detections[0].name) == ("fake", "stop sign")
        await asyncio.wait_for(settled, 10)


async def test_a_late_answer_from_the_previous_network_does_not_count_as_a_measurement() -> None:
    async with running(Rig()) as rig:
        rig.engine.hold()
        late = frame("a")
        await rig.detector.offer(late)
        await rig.started(1)
        rig.clock.pass_(1)
        rig.detector.swap(inference(rig, broken := FakeEngine()))
        rig.engine.release()
        assert isinstance(await rig.outcome(late), Detected)
        assert rig.detector.in_use.infer_ms is None
        broken.error = EngineError("the chip is on fire")
        failed = frame("b", at_s=rig.clock())
        await rig.detector.offer(failed)
        await rig.outcome(failed)
        assert rig.detector.in_use.engine_failures == 1


@pytest.mark.parametrize("gives_up", [False, True], ids=["fails", "hangs"])
async def test_a_late_failure_of_the_previous_network_does_not_count_against_the_new_one(gives_up: bool) -> None:
    async with running(Rig()) as rig:
        rig.engine.hold()
        late = frame("a")
        await rig.detector.offer(late)
        await rig.started(1)
        rig.clock.pass_(1)
        rig.detector.swap(inference(rig, FakeEngine()))
        if gives_up:
            rig.clock.pass_(30)
        else:
            rig.engine.error = EngineError("the chip is on fire")
            rig.engine.release()
        assert isinstance(await rig.outcome(late), Failed)
        assert rig.detector.in_use.engine_failures == 0


@pytest.mark.parametrize("name", ["fake", "other"])
async def test_cached_answers_of_the_previous_network_are_not_reused(name: str) -> None:
    async with running(Rig()) as rig:
        first, again = frame(seed=1), frame(seed=1)
        await rig.detector.offer(first)
        await rig.outcome(first)
        rig.detector.swap(inference(rig, FakeEngine(ELSEWHERE), name))
        assert (await rig.detector.offer(again)).status == "queued"
        outcome = await rig.outcome(again)
        assert isinstance(outcome, Detected)
        assert outcome.detections[0].name == "person"


async def test_the_scene_gate_does_not_repeat_answers_of_the_previous_network() -> None:
    gate = SceneGate(1000.0, audited=0.0)
    async with running(Rig(cached=False, gate=gate)) as rig:
        for _ in range(3):
            one = frame(seed=1)
            await rig.detector.offer(one)
            outcome = await rig.outcome(one)
        assert isinstance(outcome, Detected)
        assert outcome.cached == "unchanged"
        rig.detector.swap(inference(rig, FakeEngine(ELSEWHERE), "fake", gate=gate))
        one = frame(seed=1)
        await rig.detector.offer(one)
        outcome = await rig.outcome(one)
        assert isinstance(outcome, Detected)
        assert (outcome.cached, outcome.detections[0].name) == (False, "person")


async def test_a_device_that_started_without_a_model_serves_after_its_first_activation() -> None:
    rig = Rig()
    rig.detector.in_use.inference, rig.detector.in_use.model_error = None, ModelError("no such folder", "model_missing")
    async with running(rig):
        await rig.detector.offer(frame())
        assert rig.detector.swap(inference(rig, rig.engine)) is None
        one = frame()
        await rig.detector.offer(one)
        assert isinstance(await rig.outcome(one), Detected)
        assert rig.detector.in_use.model_error is None


async def test_a_network_with_more_slots_gets_more_workers() -> None:
    async with running(Rig(FakeEngine(slots=1))) as rig:
        wide = FakeEngine(slots=4)
        wide.hold()
        rig.detector.swap(inference(rig, wide))
        for name in "abcd":
            await rig.detector.offer(frame(name))
        await rig.until(lambda: wide.started == 4)
        assert rig.detector.in_flight == 4
        wide.release()


async def test_a_new_network_stays_sparing_while_the_governor_limits_the_duty() -> None:
    async with running(Rig()) as rig:
        rig.detector.apply(replace(rig.pace.limits, duty=0.5))
        new = inference(rig, FakeEngine())
        rig.detector.swap(new)
        assert new.sparing


async def test_a_new_network_respects_the_current_limit_of_input_sizes() -> None:
    async with running(Rig()) as rig:
        rig.detector.apply(replace(rig.pace.limits, most_sizes=1))
        new = FakeEngine()
        new.prepared = [Size(320, 192), Size(640, 384)]
        rig.detector.swap(inference(rig, new))
        await rig.until(lambda: len(new.prepared) == 1)
        assert new.prepared == [Size(640, 384)]


class RecordingSizes(Sizes):
    """Records each requested limit, once the gate opens."""

    def __init__(self, engine: FakeEngine) -> None:
        super().__init__(engine, 32, None)
        self.kept: list[int | None] = []
        self.go_on = threading.Event()

    def keep(self, most: int | None) -> None:
        assert self.go_on.wait(10)
        self.kept.append(most)


async def test_the_last_size_limit_wins_and_a_hung_engine_does_not_block_the_exit() -> None:
    async with running(Rig()) as rig:
        sizes = RecordingSizes(rig.engine)
        network = replace(fake_network(rig.engine), sizes=sizes)
        rig.detector.swap(Inference(network, clock=rig.clock))
        for most in (3, 2, 1):
            rig.detector.apply(replace(rig.pace.limits, most_sizes=most))
        hanging = [thread for thread in threading.enumerate() if thread.name == "sizes"]
        assert len(hanging) == 3
        assert all(thread.daemon for thread in hanging)
        sizes.go_on.set()
        await rig.until(lambda: len(sizes.kept) == 3)
        assert sizes.kept[1:] == [1, 1]  # the first call may have run before the others


class TimedEngine(FakeEngine):
    """Each inference advances the rig's clock by `seconds`."""

    def __init__(self, rig: Rig, seconds: float) -> None:
        super().__init__(CANARY_ROWS)
        self._rig, self._seconds = rig, seconds

    def infer(self, tensor: Tensor, read: Callable[[Raw], T], *, all_cores: bool = False) -> T:
        self._rig.clock.pass_(self._seconds)
        return super().infer(tensor, read, all_cores=all_cores)


def activation(rig: Rig, *engines: FakeEngine | Exception, room_bytes: int | None = None) -> Activation:
    """Create an activation that loads these engines in turn, one per load."""
    supply = iter(engines)

    def load(name: str) -> Inference:
        engine = next(supply)
        if isinstance(engine, Exception):
            raise engine
        return inference(rig, engine, name)

    return Activation(detector=rig.detector, load=load, max_side=640, clock=rig.clock, room_bytes=lambda: room_bytes)


@pytest.fixture
def rig() -> Rig:
    return Rig(FakeEngine(CANARY_ROWS))


async def test_a_model_that_passes_its_trial_is_activated(rig: Rig) -> None:
    async with running(rig):
        changes = activation(rig, FakeEngine(CANARY_ROWS))
        changes.error = ModelError("an earlier one")
        trial = await changes.activate("b")
        assert (trial.model, trial.former, trial.likeness, trial.pictures) == ("b", "fake", 1.0, 1)
        assert rig.detector.network is not None
        assert rig.detector.network.info.name == "b"
        assert changes.error is None
        await rig.until(lambda: rig.engine.closed)


async def test_swap_callbacks_run_after_each_change(rig: Rig) -> None:
    heard: list[str] = []
    supply = [inference(rig, FakeEngine(CANARY_ROWS), "b"), inference(rig, FakeEngine(), "blind")]
    changes = Activation(
        detector=rig.detector,
        load=lambda name: supply.pop(0),
        max_side=640,
        clock=rig.clock,
    )
    changes.on_swap(lambda: heard.append(rig.detector.network.info.name if rig.detector.network else "none"))
    async with running(rig):
        await changes.activate("b")
        with pytest.raises(ModelError):
            await changes.activate("blind")
    assert heard == ["b"]


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ((), "the self-test failed"),
        (ELSEWHERE, "the self-test failed"),
        (CANARY_ROWS[:2], "2 of 3 drawn stop signs were found"),
        ((*CANARY_ROWS, *people(8)), "11 objects were found in an image with 3 drawn stop signs"),
    ],
    ids=["detects nothing", "wrong places", "misses one", "too many"],
)
async def test_a_model_that_fails_the_self_test_changes_nothing(
    rig: Rig, rows: tuple[tuple[float, ...], ...], why: str
) -> None:
    async with running(rig):
        bad = FakeEngine(rows)
        changes = activation(rig, bad)
        with pytest.raises(ModelError, match=why) as caught:
            await changes.activate("b")
        assert caught.value.code == "model_not_activated"
        assert bad.closed
        assert not rig.engine.closed
        assert rig.detector.network is not None
        assert rig.detector.network.info.name == "fake"
        assert why in str(changes.error)


async def test_a_model_with_different_detections_is_rejected(rig: Rig) -> None:
    async with running(rig):
        with pytest.raises(ModelError, match="detections differ from those of fake: 75 % agreement"):
            await activation(rig, FakeEngine((*CANARY_ROWS, *people(2)))).activate("b", bounds=TrialBounds(0.8))


async def test_a_much_slower_model_is_rejected_unless_the_comparison_is_skipped() -> None:
    rig = Rig()
    rig.engine = TimedEngine(rig, 0.01)
    rig.detector.in_use.inference = inference(rig, rig.engine, "a")
    async with running(rig):
        changes = activation(rig, TimedEngine(rig, 0.05), TimedEngine(rig, 0.05), TimedEngine(rig, 0.03))
        with pytest.raises(ModelError, match="inference time is 50 ms, more than 4 times that of a"):
            await changes.activate("b")
        assert (await changes.activate("b", bounds=None)).infer_ms == pytest.approx(50)
        assert (await changes.activate("c")).infer_ms == pytest.approx(30)


async def test_a_model_with_unreadable_output_changes_nothing(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    unreadable = FakeEngine()
    unreadable.rows = np.zeros((5, 4), np.float32)  # neither confidence nor class
    async with running(rig):
        changes = activation(rig, unreadable)
        with pytest.raises(EngineError, match="the trial failed: index 4 is out of bounds"):
            await changes.activate("b")
        assert unreadable.closed
        assert changes.error is not None
        assert rig.detector.network is not None
        assert rig.detector.network.info.name == "fake"
    (traced,) = [record for record in caplog.records if record.exc_info]
    assert traced.getMessage() == "the trial of b failed"


@pytest.mark.parametrize("error", [EngineError("the chip is on fire"), IndexError("no such row")], ids=repr)
async def test_a_failing_model_does_not_block_its_replacement(
    rig: Rig, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    rig.engine.error = error
    async with running(rig):
        trial = await activation(rig, FakeEngine(CANARY_ROWS)).activate("b")
        assert (trial.model, trial.former, trial.former_infer_ms, trial.likeness) == ("b", None, None, None)
        assert rig.detector.network is not None
        assert rig.detector.network.info.name == "b"
    assert f"the model in use, fake, failed in the trial: {error}; trying b without a comparison" in caplog.text


async def test_a_model_that_detects_nothing_is_rejected_even_if_the_current_one_fails(rig: Rig) -> None:
    rig.engine.error = EngineError("the chip is on fire")
    async with running(rig):
        with pytest.raises(ModelError, match="the self-test failed"):
            await activation(rig, FakeEngine()).activate("b")


async def test_without_a_comparison_the_model_in_use_is_not_run(rig: Rig) -> None:
    rig.engine.hold()
    async with running(rig):
        await asyncio.wait_for(activation(rig, FakeEngine(CANARY_ROWS)).activate("b", bounds=None), 10)
        assert rig.engine.started == 0
        with pytest.raises(ModelError, match="the self-test failed"):
            await activation(rig, FakeEngine()).activate("blind", bounds=None)


async def test_a_hung_model_is_not_run_in_the_trial(rig: Rig) -> None:
    async with running(rig):
        rig.engine.hold()
        hung = frame()
        await rig.detector.offer(hung)
        await rig.started(1)
        rig.clock.pass_(30)
        assert rig.detector.stuck
        trial = await asyncio.wait_for(activation(rig, FakeEngine(CANARY_ROWS)).activate("b"), 10)
        assert (trial.former, rig.engine.started) == (None, 1)
        assert isinstance(await rig.outcome(hung), Failed)


async def test_no_second_network_is_loaded_without_enough_memory(rig: Rig) -> None:
    never = AssertionError("a second network was loaded")
    async with running(rig):
        changes = activation(rig, never, room_bytes=90_000_000)
        with pytest.raises(ModelError, match="150 MB are needed, 90 MB are available") as caught:
            await changes.activate("b", bounds=None)
        assert caught.value.code == "memory_short"
        assert "90 MB are available" in str(changes.error)
        await activation(rig, FakeEngine(CANARY_ROWS), room_bytes=200_000_000).activate("b")
        await activation(rig, FakeEngine(CANARY_ROWS), room_bytes=None).activate("c")


async def test_the_first_network_is_loaded_even_with_little_memory(rig: Rig) -> None:
    rig.detector.in_use.inference = None
    async with running(rig):
        await activation(rig, FakeEngine(CANARY_ROWS), room_bytes=90_000_000).activate("b")
        assert rig.detector.in_use.inference is not None


@pytest.mark.parametrize("error", [EngineError("no such device"), ModelError("damaged", "model_corrupt")], ids=str)
async def test_a_model_that_cannot_be_loaded_changes_nothing(rig: Rig, error: Exception) -> None:
    async with running(rig):
        changes = activation(rig, error)
        with pytest.raises(type(error)):
            await changes.activate("b")
        assert str(error) in str(changes.error)
        one = frame()
        await rig.detector.offer(one)
        assert isinstance(await rig.outcome(one), Detected)


async def test_user_pictures_are_compared_and_an_empty_folder_is_an_error(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    async with running(rig):
        changes = activation(rig, *(FakeEngine(CANARY_ROWS) for _ in range(2)))
        with pytest.raises(ModelError, match="no readable pictures"):
            await changes.activate("b", tmp_path / "pictures")
        (tmp_path / "pictures" / "one.jpg").write_bytes(jpeg(1))
        (tmp_path / "pictures" / "half.jpg").write_bytes(jpeg(2)[:-300])
        (tmp_path / "pictures" / "none.jpg").write_text("no picture")
        os.mkfifo(tmp_path / "pictures" / "pipe.jpg")
        (tmp_path / "pictures" / "zeros.jpg").symlink_to("/dev/zero")
        with (tmp_path / "pictures" / "film.jpg").open("wb") as file:
            file.truncate(10**12)
        assert (await changes.activate("b", tmp_path / "pictures")).pictures == 2


async def test_only_one_model_is_activated_at_a_time(rig: Rig) -> None:
    async with running(rig):
        slow = FakeEngine(CANARY_ROWS)
        slow.hold()
        changes = activation(rig, slow)
        first = asyncio.create_task(changes.activate("b"))
        await rig.until(lambda: slow.started > 0)
        with pytest.raises(ModelError, match="another model is being activated") as caught:
            await changes.activate("c")
        assert caught.value.code == BUSY
        assert changes.error is None
        slow.release()
        await asyncio.wait_for(first, 10)


def test_a_model_without_a_comparison_has_no_objection() -> None:
    assert ModelTrial("b", 50.0, 1).objection(TrialBounds()) is None


async def test_cameras_lose_no_frame_while_the_service_swaps_models(serve: Serve, tmp_path: Path) -> None:
    """Three cameras push over real sockets while four real models alternate; each frame gets exactly one answer."""
    make_bundles(tmp_path, "first", "second")
    flags = {"model.dir": str(tmp_path), "model.name": "first", "cache.enabled": "false"}
    async with serve(load=loading.load_network, wait_ready=True, **flags) as running_:
        done = threading.Event()
        sent: Counter[str] = Counter()
        heard: list[tuple[str, str, str | None]] = []

        async def push(name: str) -> None:
            async with camera(running_.url, name) as one:
                number = 0
                while not done.is_set():
                    number += 1
                    sent[f"{name} {number}"] += 1
                    await one.push({"image": jpeg(number % 5, 320, 180), "frame_id": f"{name} {number}"})
                    await one.answer(f"{name} {number}")
                for event, payload in one.heard:
                    if event in ANSWERS:
                        heard.append((event, payload["frame_id"], payload.get("model")))

        pushing = [asyncio.create_task(push(name)) for name in ("a", "b", "c")]
        for name in ("second", "first", "second"):
            await running_.started.parts.activation.activate(name, bounds=None)
            before = sum(sent.values())
            while sum(sent.values()) < before + 30:
                await asyncio.sleep(0.01)
        done.set()
        await asyncio.wait_for(asyncio.gather(*pushing), 30)

    assert Counter(frame_id for _, frame_id, _ in heard) == sent
    assert {event for event, _, _ in heard} <= {"detection_results", "frame_skipped"}
    assert {model for _, _, model in heard} >= {"first", "second"}


async def test_the_next_start_loads_the_activated_model(serve: Serve, tmp_path: Path) -> None:
    make_bundles(tmp_path, "first", "second")
    active.activate(tmp_path, "second", "first")
    flags = {"model.dir": str(tmp_path), "model.name": "first"}
    async with serve(load=loading.load_network, **flags) as running_:
        assert running_.report()["engine"]["model"] == "second"
    flags["model.name"] = "second"
    async with serve(load=loading.load_network, **flags) as running_:
        assert running_.report()["engine"]["model"] == "second"
