"""Frames that are kept for calibrating an INT8 model."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from appliance.flow.calibration_frames import CalibrationFrames
from appliance.values import Detected, Frame, ResultFilter, Size, Skipped, SkipReason, Timing
from appliance.vision import decode, view
from appliance.vision.admission import Admission
from appliance.vision.decoder import OwnThread
from tests.flow.frames import frame, jpeg

DETECTED = Detected((), Size(64, 48), Size(64, 64), "yolo", Timing(0, 0, 0, 0))


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def keeper(folder: Path, clock: Clock, most: int = 300, max_bytes: int = 1_000_000) -> CalibrationFrames:
    return CalibrationFrames(
        folder, most=most, max_bytes=max_bytes, max_side=32, decoder=OwnThread(), admission=Admission(), clock=clock
    )


def keep(kept: CalibrationFrames, clock: Clock, folder: Path, frames: list[Frame]) -> list[str]:
    """Offer a frame every ten minutes; the names of the files then."""

    async def run() -> None:
        task = asyncio.create_task(kept.run())
        for one in frames:
            kept.note(one, DETECTED)
            before, deadline_s = len(list(folder.glob("*.jpg"))), asyncio.get_running_loop().time() + 0.5
            while len(list(folder.glob("*.jpg"))) == before and asyncio.get_running_loop().time() < deadline_s:
                await asyncio.sleep(0.005)
            clock.now_s += 600
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(run())
    return sorted(path.name for path in folder.glob("*"))


def test_frames_are_kept_small_and_with_their_masks_painted_over(tmp_path: Path) -> None:
    masked = view.make_view(masks=[((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))])
    white = decode.encode_jpeg(np.full((48, 64, 3), 255, np.uint8), 95)
    folder, clock = tmp_path / "frames", Clock()
    wanted = ResultFilter(0.25, view=masked)
    assert keep(keeper(folder, clock), clock, folder, [frame(data=white, wanted=wanted)]) == ["0000.jpg"]
    pixels = decode.decode(decode.read_header((folder / "0000.jpg").read_bytes(), 10**6))
    assert pixels.shape == (24, 32, 3)
    assert np.abs(pixels[:, :12].astype(int) - 114).max() < 10
    assert pixels[:, 20:].min() > 245
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "0000.jpg").stat().st_mode & 0o777 == 0o600


def test_the_number_and_the_bytes_are_limited_also_over_restarts(tmp_path: Path) -> None:
    clock = Clock()
    assert len(keep(keeper(tmp_path / "a", clock, most=2), clock, tmp_path / "a", [frame() for _ in range(3)])) == 2
    assert len(keep(keeper(tmp_path / "a", clock, most=2), clock, tmp_path / "a", [frame()])) == 2
    assert keep(keeper(tmp_path / "b", clock, max_bytes=100), clock, tmp_path / "b", [frame()]) == []


@pytest.mark.parametrize("most", [0, 2])
def test_only_frames_that_are_due_and_were_inferred_are_chosen(tmp_path: Path, most: int) -> None:
    clock = Clock()
    kept = keeper(tmp_path, clock, most=most)
    kept.note(frame(), Skipped(SkipReason.RATE_LIMITED, 1.0))
    kept.note(frame(), replace(DETECTED, cached="unchanged"))
    assert not kept._chosen.qsize()
    kept.note(frame(), DETECTED)
    kept.note(frame(), DETECTED)
    assert kept._chosen.qsize() == bool(most)


def test_the_picture_of_the_self_test_is_not_chosen(tmp_path: Path) -> None:
    kept = keeper(tmp_path, Clock())
    kept.note(frame("_canary"), DETECTED)
    assert not kept._chosen.qsize()
    kept.note(frame("gate"), DETECTED)
    assert kept._chosen.get_nowait().camera == "gate"


def test_a_deleted_frame_is_replaced_and_no_other(tmp_path: Path) -> None:
    clock = Clock()
    keep(keeper(tmp_path, clock), clock, tmp_path, [frame(seed=number) for number in range(3)])
    last = (tmp_path / "0002.jpg").read_bytes()
    (tmp_path / "0001.jpg").unlink()
    assert keep(keeper(tmp_path, clock), clock, tmp_path, [frame(seed=9)]) == ["0000.jpg", "0001.jpg", "0002.jpg"]
    assert (tmp_path / "0002.jpg").read_bytes() == last


def test_a_frame_that_cannot_be_decoded_is_not_the_last_one(tmp_path: Path) -> None:
    clock = Clock()
    bad = frame(data=jpeg(7)[: len(jpeg(7)) // 2])
    assert keep(keeper(tmp_path, clock), clock, tmp_path, [bad, frame()]) == ["0000.jpg"]
