"""The self-test: what passes, what fails, and when it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import replace

from appliance.health.canary import CAMERA, Canary
from appliance.values import Box, Detected, Detection, Failed, Frame, Outcome, Size, Skipped, SkipReason, Timing
from appliance.vision import scene, self_test

SIZE = Size(1280, 720)
SIGNS = tuple(sign.box_px for sign in self_test.image().signs)


def detected(*boxes: tuple[str, Box]) -> Detected:
    found = tuple(Detection(name, 2, 0.9, box) for name, box in boxes)
    return Detected(found, SIZE, Size(640, 384), "fake", Timing(1, 2, 3, 6))


RIGHT_ONES = tuple((scene.SIGN, sign) for sign in SIGNS)
RIGHT = detected(*RIGHT_ONES)
SKIPPED = Skipped(SkipReason.OVERLOADED, 2.0)
BROKEN = Failed("engine_failed", "the chip is on fire")


class Device:
    """Answers frames with the given outcomes in order, then repeats the last one."""

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
        """The number of frames sent at each failure."""

    async def _failed(self) -> None:
        self.failed_at.append(len(self.asked))

    async def _ask(self, frame: Frame) -> Outcome:
        self.asked.append((asyncio.get_running_loop().time(), frame))
        self._last = next(self._outcomes, self._last)
        return self._last

    async def run(self, seconds: float) -> list[float]:
        """Run the self-test for this long; return when it sent frames, in seconds after the start."""
        start_s = asyncio.get_running_loop().time()
        task = asyncio.create_task(self.canary.run())
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.wait({task})
        return [at_s - start_s for at_s, _ in self.asked]


async def test_finding_the_drawn_signs_passes() -> None:
    device = Device([RIGHT])
    assert not device.canary.ready
    state = await device.canary.prove()
    assert state.proved
    assert device.canary.ready
    assert state.infer_ms == 3
    assert state.failures == 0
    (_, frame) = device.asked[0]
    assert frame.camera == CAMERA


async def test_any_other_result_fails_with_a_reason() -> None:
    for outcome in (detected(), detected(*RIGHT_ONES[1:]), detected(*RIGHT_ONES, *(("person", SIGNS[0]),) * 3)):
        device = Device([outcome])
        state = await device.canary.prove()
        assert (state.proved, state.failures) == (False, 1)
        assert "drawn stop signs" in state.message
        assert not device.canary.ready
    state = await Device([BROKEN]).canary.prove()
    assert (state.failures, state.message) == (1, "the chip is on fire")


async def test_additional_detections_are_ignored() -> None:
    assert (await Device([detected(("person", Box(0, 0, 9, 9)), *RIGHT_ONES)]).canary.prove()).proved


async def test_a_skipped_frame_does_not_change_the_result() -> None:
    device = Device([SKIPPED, RIGHT, SKIPPED])
    before = device.canary.state
    assert await device.canary.prove() == before
    await device.canary.prove()
    proved = device.canary.state
    assert await device.canary.prove() == proved
    assert device.canary.ready


async def test_three_failures_in_a_row_make_the_device_not_ready() -> None:
    device = Device([RIGHT, BROKEN, BROKEN, RIGHT, BROKEN, BROKEN, BROKEN, RIGHT])
    ready = []
    for _ in range(8):
        await device.canary.prove()
        ready.append(device.canary.ready)
    assert ready == [True, True, True, True, True, True, False, True]


async def test_a_model_without_a_stop_sign_class_passes_by_running() -> None:
    device = Device([detected()], classes=("cat", "dog"))
    state = await device.canary.prove()
    assert state.proved
    assert "no stop sign class" in state.message
    failed = await Device([BROKEN], classes=("cat", "dog")).canary.prove()
    assert not failed.proved


async def test_each_attempt_sends_different_bytes() -> None:
    device = Device([RIGHT])
    for _ in range(5):
        await device.canary.prove()
    assert len({frame.picture.data for _, frame in device.asked}) == 5


async def test_it_runs_at_start_and_then_once_a_minute() -> None:
    assert [round(at_s) for at_s in await Device([RIGHT]).run(200)] == [0, 60, 120, 180]


async def test_it_does_not_run_while_cameras_send() -> None:
    device = Device([RIGHT])
    device.busy = True
    assert [round(at_s) for at_s in await device.run(200)] == [0]  # but always at start


async def test_a_failure_is_retried_soon() -> None:
    assert [round(at_s) for at_s in await Device([BROKEN, BROKEN, RIGHT]).run(70)] == [0, 2, 4, 64]


async def test_a_skipped_first_attempt_is_retried_soon() -> None:
    assert [round(at_s) for at_s in await Device([SKIPPED, SKIPPED, RIGHT]).run(70)] == [0, 2, 4, 64]


async def test_the_result_is_dated_by_the_last_attempt_that_was_not_skipped() -> None:
    device = Device([RIGHT, SKIPPED])
    await device.run(70)
    first_s = device.asked[0][0]
    assert device.canary.state.at_s is not None
    assert abs(device.canary.state.at_s - first_s) < 1
    assert replace(device.canary.state, at_s=None).proved


async def test_it_does_not_run_without_a_model() -> None:
    device = Device([BROKEN], classes=())
    assert await device.run(0.05) == []
    assert device.canary.state.failures == 0


async def test_each_failure_is_reported_before_the_next_attempt() -> None:
    device = Device([BROKEN, SKIPPED, detected(), RIGHT])
    await device.run(70)
    assert device.failed_at == [1, 2, 3]


async def test_no_more_signs_are_expected_than_the_model_can_return() -> None:
    one = detected(RIGHT_ONES[0])
    assert (await Device([one], most=1).canary.prove()).proved
    assert not (await Device([one], most=2).canary.prove()).proved
