"""When a lone frame gets all cores."""

from __future__ import annotations

import time

import pytest

from appliance.flow.core_boost import CoreBoost
from appliance.flow.inference import Inference
from appliance.values import Frame, Size
from tests.fakes import FakeClock, FakeEngine, fake_network
from tests.flow.frames import frame as frame_of

SIZE = Size(640, 480)


def settled(clock: FakeClock, *, usual_s: float, all_cores_s: float) -> CoreBoost:
    """Return a CoreBoost that has measured both ways."""
    core_boost = CoreBoost(clock)
    for _ in range(7):
        core_boost.record(SIZE, False, usual_s)
    for _ in range(7):
        assert core_boost.all_cores(SIZE)  # now all cores are measured
        core_boost.record(SIZE, True, all_cores_s)
    return core_boost


def test_a_frame_is_alone_after_two_seconds_without_an_overlap() -> None:
    clock = FakeClock()
    core_boost = CoreBoost(clock)
    core_boost.begin()
    assert not core_boost.alone()
    clock.pass_(2.0)
    assert core_boost.alone()


def test_after_an_overlap_no_frame_is_alone_for_two_seconds() -> None:
    clock = FakeClock()
    core_boost = CoreBoost(clock)
    clock.pass_(10.0)
    core_boost.begin()
    core_boost.begin()
    assert not core_boost.alone()
    core_boost.end()
    assert not core_boost.alone()
    clock.pass_(1.9)
    assert not core_boost.alone()
    clock.pass_(0.1)
    assert core_boost.alone()


@pytest.mark.parametrize(("all_cores_s", "pays"), [(0.018, True), (0.024, True), (0.025, False), (0.030, False)])
def test_all_cores_are_used_only_if_they_save_a_fifth(all_cores_s: float, pays: bool) -> None:
    core_boost = settled(FakeClock(), usual_s=0.030, all_cores_s=all_cores_s)
    assert core_boost.all_cores(SIZE) is pays
    assert not core_boost.all_cores(Size(320, 192))  # not measured yet


def test_a_slow_first_inference_does_not_change_the_result() -> None:
    core_boost = CoreBoost(FakeClock())
    for _ in range(7):
        core_boost.record(SIZE, False, 0.030)
    for took_s in (0.5, 0.2, *[0.018] * 5):
        core_boost.record(SIZE, True, took_s)
    assert core_boost.all_cores(SIZE)


def test_after_ten_minutes_both_ways_are_measured_again() -> None:
    clock = FakeClock()
    core_boost = settled(clock, usual_s=0.030, all_cores_s=0.040)  # another process kept the device busy
    clock.pass_(601)
    for all_cores, took_s in ((False, 0.030), (True, 0.018)):
        for _ in range(7):
            assert core_boost.all_cores(SIZE) is all_cores
            core_boost.record(SIZE, all_cores, took_s)
    assert core_boost.all_cores(SIZE)


class SlowEngine(FakeEngine):
    """An engine whose inferences advance the fake clock."""

    def __init__(self, clock: FakeClock, *, usual_s: float, all_cores_s: float) -> None:
        super().__init__()
        self.clock, self.took_s = clock, {False: usual_s, True: all_cores_s}
        self.prepared = [SIZE]

    def infer(self, *arguments, all_cores=False):  # type: ignore[no-untyped-def]  # passes on
        self.clock.pass_(self.took_s[all_cores])
        return super().infer(*arguments, all_cores=all_cores)


def run(inference: Inference, frames: int, frame: Frame) -> None:
    for _ in range(frames):
        inference.run(frame, 640)


@pytest.mark.parametrize(("all_cores_s", "pays"), [(0.02, True), (0.04, False)])
def test_a_lone_camera_gets_the_faster_way(all_cores_s: float, pays: bool) -> None:
    clock = FakeClock()
    engine = SlowEngine(clock, usual_s=0.04, all_cores_s=all_cores_s)
    network = fake_network(engine)
    inference = Inference(network, clock=clock, core_boost=CoreBoost(clock))
    picture = frame_of("gate")
    run(inference, 60, picture)  # alone after two seconds, then the usual way is measured
    deadline_s = time.monotonic() + 10
    while None not in engine.ready():  # another thread prepares it
        assert time.monotonic() < deadline_s
        time.sleep(0.002)
    run(inference, 30, picture)
    engine.all_cores.clear()
    run(inference, 5, picture)
    assert engine.all_cores == [pays] * 5


def test_without_a_core_boost_no_frame_gets_all_cores() -> None:
    clock = FakeClock()
    engine = SlowEngine(clock, usual_s=0.04, all_cores_s=0.02)
    run(Inference(fake_network(engine), clock=clock), 100, frame_of("gate"))
    assert set(engine.all_cores) == {False}


def test_no_frame_gets_all_cores_while_the_governor_limits_heat() -> None:
    clock = FakeClock()
    engine = SlowEngine(clock, usual_s=0.04, all_cores_s=0.02)
    engine.prepared.append(None)
    inference = Inference(fake_network(engine), clock=clock, core_boost=CoreBoost(clock))
    inference.sparing = True
    run(inference, 100, frame_of("gate"))
    assert set(engine.all_cores) == {False}
    inference.sparing = False
    run(inference, 20, frame_of("gate"))
    assert engine.all_cores[-1]
