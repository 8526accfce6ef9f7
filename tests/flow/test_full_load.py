"""The load of a benchmark: every frame is work."""

from __future__ import annotations

from appliance.flow import full_load
from appliance.values import Detected, Frame, Outcome, Size, Timing
from appliance.vision import decode

_SIZE = Size(1280, 720)


async def test_no_two_frames_are_identical_or_the_cache_would_answer() -> None:
    now_s, sent = [0.0], list[Frame]()

    async def ask(frame: Frame) -> Outcome:
        now_s[0] += 0.1
        sent.append(frame)
        return Detected((), _SIZE, Size(640, 384), "yolo11n", Timing(0.0, 0.0, 30.0, 30.0))

    load = await full_load.run(ask, 10.0, lambda: now_s[0])
    assert load.frames == len(sent) >= 100
    assert len({frame.picture.data for frame in sent}) == len(sent)
    for frame in sent[-8:]:
        assert decode.decode(frame.picture).shape == (720, 1280, 3)
