"""Which input size a frame runs at, and what is compiled meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from appliance.errors import EngineError
from appliance.flow.sizes import Sizes
from appliance.values import Size
from tests.fakes import FakeEngine

WIDE, WIDE_INPUT = Size(1280, 720), Size(640, 384)
TALL, TALL_INPUT = Size(720, 1280), Size(384, 640)
FOUR_TO_THREE, FOUR_TO_THREE_INPUT = Size(640, 480), Size(640, 480)


class SlowEngine(FakeEngine):
    """Compiles when it is told to go on."""

    def __init__(self, *ready: Size) -> None:
        super().__init__()
        self.prepared = list(ready)
        self.go_on = threading.Event()
        self.fails = False
        self.tries = 0

    def prepare(self, size: Size) -> bool:
        self.tries += 1
        assert self.go_on.wait(10)
        if self.fails:
            raise EngineError("the chip cannot do this")
        self.prepared.append(size)
        return True


@pytest.fixture
def engine() -> Iterator[SlowEngine]:
    engine = SlowEngine(WIDE_INPUT)
    yield engine
    engine.go_on.set()


def until(holds: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.002)


def test_a_size_that_is_ready_is_taken(engine: SlowEngine) -> None:
    assert Sizes(engine, 32, None).choose(WIDE, 640) == WIDE_INPUT
    assert engine.tries == 0


def test_a_new_shape_runs_at_a_size_nearly_as_good_until_its_own_is_compiled(engine: SlowEngine) -> None:
    sizes = Sizes(engine, 32, None)
    for _ in range(5):
        assert sizes.choose(FOUR_TO_THREE, 640) == WIDE_INPUT  # at 0.8 of its scale
    engine.go_on.set()
    until(lambda: FOUR_TO_THREE_INPUT in engine.ready())
    assert sizes.choose(FOUR_TO_THREE, 640) == FOUR_TO_THREE_INPUT
    assert engine.tries == 1


def test_a_shape_that_is_seen_once_is_not_compiled(engine: SlowEngine) -> None:
    sizes = Sizes(engine, 32, None)
    engine.go_on.set()
    for height in range(416, 513, 32):  # a folder of photographs
        assert sizes.choose(Size(640, height), 640) == WIDE_INPUT
    time.sleep(0.02)
    assert engine.tries == 0


def test_a_shape_that_no_ready_size_suits_waits_for_its_own(engine: SlowEngine) -> None:
    engine.go_on.set()
    assert Sizes(engine, 32, None).choose(TALL, 640) == TALL_INPUT
    assert TALL_INPUT in engine.ready()


def test_exact_sizes_are_waited_for(engine: SlowEngine) -> None:
    engine.go_on.set()
    assert Sizes(engine, 32, None, exact=True).choose(FOUR_TO_THREE, 640) == FOUR_TO_THREE_INPUT


def test_a_lower_limit_runs_at_the_former_size_until_its_own_is_compiled(engine: SlowEngine) -> None:
    sizes = Sizes(engine, 32, None)
    assert sizes.choose(WIDE, 512) == WIDE_INPUT
    assert sizes.choose(WIDE, 320) == WIDE_INPUT
    sizes.choose(WIDE, 320)
    engine.go_on.set()
    until(lambda: Size(320, 192) in engine.ready())
    assert sizes.choose(WIDE, 320) == Size(320, 192)
    assert sizes.choose(WIDE, 640) == WIDE_INPUT


def test_the_next_lower_size_is_made_ready_before_it_is_needed(engine: SlowEngine) -> None:
    engine.go_on.set()
    sizes = Sizes(engine, 32, None)
    assert sizes.choose(WIDE, 640, 512) == WIDE_INPUT
    until(lambda: Size(512, 288) in engine.ready())
    for _ in range(20):
        sizes.choose(WIDE, 640, 512)
    assert engine.tries == 1


def test_where_there_is_no_room_nothing_is_made_ready(engine: SlowEngine) -> None:
    engine.go_on.set()
    sizes = Sizes(engine, 32, None, most=1)
    sizes.choose(WIDE, 640, 512)
    time.sleep(0.02)
    assert engine.tries == 0


def test_a_size_that_cannot_be_compiled_is_tried_once_and_frames_go_on(
    engine: SlowEngine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.fails = True
    engine.go_on.set()
    sizes = Sizes(engine, 32, None)
    for _ in range(10):
        assert sizes.choose(FOUR_TO_THREE, 640) == WIDE_INPUT
        time.sleep(0.002)
    assert engine.tries == 1
    assert "frames go on at another size" in caplog.text
    with pytest.raises(EngineError):
        sizes.choose(TALL, 640)


def test_a_network_of_one_size_takes_every_picture_at_it() -> None:
    sizes = Sizes(FakeEngine(), 32, Size(640, 640))
    assert sizes.best(WIDE, 320) == sizes.choose(WIDE, 320) == Size(640, 640)
