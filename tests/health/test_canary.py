"""The proof that the box sees: what counts as one, what does not, and when it is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import replace

from appliance.health.canary import CAMERA, Canary
from appliance.values import Box, Detected, Detection, Failed, Frame, Outcome, Size, Skipped, SkipReason, Timing
from appliance.vision import scene, self_test

SIZE = Size(1280, 720)
SIGNS = tuple(sign.box_px for sign in self_test.image().signs)


def seen(*boxes: tuple[str, Box]) -> Detected:
    found = tuple(Detection(name, 2, 0.9, box) for name, box in boxes)
    return Detected(found, SIZE, Size(640, 384), "fake", Timing(1, 2, 3, 6))


RIGHT_ONES = tuple((scene.SIGN, sign) for sign in SIGNS)
RIGHT = seen(*RIGHT_ONES)
SKIPPED = Skipped(SkipReason.OVERLOADED, 2.0)
BROKEN = Failed("engine_failed", "the chip is on fire")


class SeeingBox:
    """Answers frames with these outcomes, one after another; the last one stays."""

    def __init__(
        self, outcomes: Iterable[Outcome], classes: tuple[str, ...] = ("person", scene.SIGN), most: int = 300
    ) -> None:
        self._outcomes: Iterator[Outcome] = iter(outcomes)
        self._last: Outcome = RIGHT
        self.asked: list[tuple[float, Frame]] = []
        self.busy = False
        self.canary = Canary(
            ask=self._ask,
            idle=lambda: not self.busy,
            classes=lambda: classes,
            clock=lambda: asyncio.get_running_loop().time(),
            most=lambda: most,
            failed=self._failed,
        )
        self.failed_at: list[int] = []
        """How many times it had been asked at each failure."""

    async def _failed(self) -> None:
        self.failed_at.append(len(self.asked))

    async def _ask(self, frame: Frame) -> Outcome:
        self.asked.append((asyncio.get_running_loop().time(), frame))
        self._last = next(self._outcomes, self._last)
        return self._last

    async def run(self, seconds: float) -> list[float]:
        """Let it run so long; how many seconds after the start it was asked."""
        start_s = asyncio.get_running_loop().time()
        task = asyncio.create_task(self.canary.run())
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.wait({task})
        return [at_s - start_s for at_s, _ in self.asked]


async def test_the_sign_where_it_was_drawn_is_a_proof() -> None:
    box = SeeingBox([RIGHT])
    assert not box.canary.ready
    state = await box.canary.prove()
    assert state.proved
    assert box.canary.ready
    assert state.infer_ms == 3
    assert state.failures == 0
    (_, frame) = box.asked[0]
    assert frame.camera == CAMERA


async def test_anything_else_is_none_and_says_why() -> None:
    for outcome in (seen(), seen(*RIGHT_ONES[1:]), seen(*RIGHT_ONES, *(("person", SIGNS[0]),) * 3)):
        box = SeeingBox([outcome])
        state = await box.canary.prove()
        assert (state.proved, state.failures) == (False, 1)
        assert "drawn stop signs" in state.message
        assert not box.canary.ready
    state = await SeeingBox([BROKEN]).canary.prove()
    assert (state.failures, state.message) == (1, "the chip is on fire")


async def test_other_things_in_the_picture_do_no_harm() -> None:
    assert (await SeeingBox([seen(("person", Box(0, 0, 9, 9)), *RIGHT_ONES)]).canary.prove()).proved


async def test_a_skipped_try_says_nothing_of_the_boxs_sight() -> None:
    box = SeeingBox([SKIPPED, RIGHT, SKIPPED])
    before = box.canary.state
    assert await box.canary.prove() == before
    await box.canary.prove()
    proved = box.canary.state
    assert await box.canary.prove() == proved
    assert box.canary.ready


async def test_two_failures_in_a_row_are_forgiven_and_three_are_not() -> None:
    box = SeeingBox([RIGHT, BROKEN, BROKEN, RIGHT, BROKEN, BROKEN, BROKEN, RIGHT])
    ready = []
    for _ in range(8):
        await box.canary.prove()
        ready.append(box.canary.ready)
    assert ready == [True, True, True, True, True, True, False, True]


async def test_a_model_without_stop_signs_is_proved_by_running() -> None:
    box = SeeingBox([seen()], classes=("cat", "dog"))
    state = await box.canary.prove()
    assert state.proved
    assert "knows no stop sign" in state.message
    failed = await SeeingBox([BROKEN], classes=("cat", "dog")).canary.prove()
    assert not failed.proved


async def test_each_try_is_another_picture() -> None:
    box = SeeingBox([RIGHT])
    for _ in range(5):
        await box.canary.prove()
    assert len({frame.picture.data for _, frame in box.asked}) == 5


async def test_it_is_asked_at_start_and_then_once_a_minute() -> None:
    assert [round(at_s) for at_s in await SeeingBox([RIGHT]).run(200)] == [0, 60, 120, 180]


async def test_it_is_not_asked_while_cameras_send() -> None:
    box = SeeingBox([RIGHT])
    box.busy = True
    assert [round(at_s) for at_s in await box.run(200)] == [0]  # at start it is asked all the same


async def test_a_failure_is_tried_again_soon() -> None:
    assert [round(at_s) for at_s in await SeeingBox([BROKEN, BROKEN, RIGHT]).run(70)] == [0, 2, 4, 64]


async def test_a_start_that_was_skipped_is_tried_again_soon() -> None:
    assert [round(at_s) for at_s in await SeeingBox([SKIPPED, SKIPPED, RIGHT]).run(70)] == [0, 2, 4, 64]


async def test_a_proof_is_as_old_as_its_last_try() -> None:
    box = SeeingBox([RIGHT, SKIPPED])
    await box.run(70)
    first_s = box.asked[0][0]
    assert box.canary.state.at_s is not None
    assert abs(box.canary.state.at_s - first_s) < 1
    assert replace(box.canary.state, at_s=None).proved


async def test_while_there_is_no_model_nothing_is_asked() -> None:
    box = SeeingBox([BROKEN], classes=())
    assert await box.run(0.05) == []
    assert box.canary.state.failures == 0


async def test_each_failure_is_passed_on_before_the_next_try() -> None:
    box = SeeingBox([BROKEN, SKIPPED, seen(), RIGHT])
    await box.run(70)
    assert box.failed_at == [1, 2, 3]


async def test_no_more_signs_are_asked_for_than_an_answer_can_hold() -> None:
    one = seen(RIGHT_ONES[0])
    assert (await SeeingBox([one], most=1).canary.prove()).proved
    assert not (await SeeingBox([one], most=2).canary.prove()).proved
