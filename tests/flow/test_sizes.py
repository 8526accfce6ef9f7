"""Which input size a frame runs at, and which sizes get a network of their own meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import EngineError
from appliance.flow.sizes import Sizes
from appliance.values import Size
from tests.fakes import FakeEngine, fake_network

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
        self.tries: list[Size | None] = []

    def prepare(self, size: Size | None) -> bool:
        self.tries.append(size)
        assert self.go_on.wait(10)
        if self.fails:
            raise EngineError("the chip cannot do this")
        return super().prepare(size)


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


def use(sizes: Sizes, image: Size, times: int, max_side: int = 640) -> None:
    for _ in range(times):
        sizes.choose(image, max_side)


def all_tries(sizes: Sizes, engine: SlowEngine) -> list[Size | None]:
    """What was compiled: the network for any size comes last, after all that was asked for before."""
    engine.go_on.set()
    sizes.prepare_any()
    until(lambda: None in engine.ready())
    sizes.close()
    return engine.tries


def test_a_frame_runs_at_its_best_size_while_nothing_is_compiled_for_it(engine: SlowEngine) -> None:
    sizes = Sizes(engine, 32, None)
    assert sizes.choose(WIDE, 640) == WIDE_INPUT
    for _ in range(100):  # nothing is compiled before the engine goes on
        assert sizes.choose(TALL, 640) == TALL_INPUT
    assert sizes.choose(WIDE, 320) == Size(320, 192)


def test_a_size_that_is_used_regularly_gets_a_network_of_its_own(engine: SlowEngine) -> None:
    engine.go_on.set()
    sizes = Sizes(engine, 32, None, most=2)
    use(sizes, FOUR_TO_THREE, 8)
    until(lambda: FOUR_TO_THREE_INPUT in engine.ready())
    use(sizes, FOUR_TO_THREE, 50)
    assert all_tries(sizes, engine) == [FOUR_TO_THREE_INPUT, None]
    assert WIDE_INPUT in engine.ready()


def test_shapes_that_are_seen_now_and_then_get_none(engine: SlowEngine) -> None:
    sizes = Sizes(engine, 32, None, most=4)
    for _ in range(6):
        for height in range(416, 513, 32):  # a folder of photographs
            sizes.choose(Size(640, height), 640)
    assert all_tries(sizes, engine) == [None]


def test_after_a_step_down_the_lower_size_takes_the_place_of_the_former(engine: SlowEngine) -> None:
    engine.go_on.set()
    sizes = Sizes(engine, 32, None)
    use(sizes, WIDE, 1000)
    use(sizes, WIDE, 200, max_side=320)
    until(lambda: engine.ready() == (Size(320, 192),))
    use(sizes, WIDE, 200)
    until(lambda: engine.ready() == (WIDE_INPUT,))


def test_a_size_is_given_up_before_another_is_compiled_in_its_place(engine: SlowEngine) -> None:
    sizes = Sizes(engine, 32, None)
    use(sizes, TALL, 8)
    until(lambda: engine.tries == [TALL_INPUT])
    assert engine.ready() == ()


@given(st.lists(st.booleans(), max_size=400))
def test_two_cameras_of_two_shapes_do_not_take_the_place_from_each_other(coins: list[bool]) -> None:
    """Whoever comes first of each two frames."""
    engine = SlowEngine(WIDE_INPUT)
    sizes = Sizes(engine, 32, None)
    for wide_first in coins:
        for image in (WIDE, TALL) if wide_first else (TALL, WIDE):
            sizes.choose(image, 640)
    assert all_tries(sizes, engine) == [None]


def test_the_network_for_any_size_is_made_ready_before_a_lower_limit_comes(engine: SlowEngine) -> None:
    engine.go_on.set()
    sizes = Sizes(engine, 32, None)
    sizes.choose(WIDE, 640, 512)
    until(lambda: None in engine.ready())
    for _ in range(20):
        sizes.choose(WIDE, 640, 512)
    assert all_tries(sizes, engine) == [None]


def test_what_cannot_be_compiled_is_tried_once_and_frames_go_on(
    engine: SlowEngine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.fails = True
    engine.go_on.set()
    sizes = Sizes(engine, 32, None, most=2)
    use(sizes, FOUR_TO_THREE, 8)
    until(lambda: "frames run without it" in caplog.text)
    use(sizes, FOUR_TO_THREE, 100)
    engine.fails = False
    assert all_tries(sizes, engine) == [FOUR_TO_THREE_INPUT, None]


def test_close_waits_for_a_compilation_and_then_nothing_more_is_compiled(engine: SlowEngine) -> None:
    sizes = Sizes(engine, 32, None)
    use(sizes, TALL, 8)
    until(lambda: engine.tries == [TALL_INPUT])
    threading.Timer(0.05, engine.go_on.set).start()
    sizes.close()
    assert engine.ready() == (TALL_INPUT,)
    sizes.prepare_any()
    use(sizes, FOUR_TO_THREE, 100)
    assert engine.tries == [TALL_INPUT]


def test_a_network_of_one_size_takes_every_picture_at_it() -> None:
    sizes = Sizes(FakeEngine(), 32, Size(640, 640))
    assert sizes.best(WIDE, 320) == sizes.choose(WIDE, 320) == Size(640, 640)
    sizes.close()


def test_when_memory_is_scarce_spare_networks_go_and_none_is_made_ahead() -> None:
    engine = FakeEngine()
    sizes = Sizes(engine, 32, None, most=3)
    for size in (Size(640, 384), None, Size(320, 192)):
        engine.prepare(size)
    sizes.choose(Size(1280, 720), 320)
    sizes.keep(1)
    assert engine.ready() == (Size(320, 192),)
    sizes.prepare_any()
    sizes.close()
    assert engine.ready() == (Size(320, 192),)


def test_the_only_network_is_kept_however_scarce_memory_is() -> None:
    engine = FakeEngine()
    engine.prepare(None)
    sizes = Sizes(engine, 32, None)
    sizes.keep(1)
    assert engine.ready() == (None,)
    sizes.close()


def test_a_network_is_closed_when_its_last_compilation_has_ended(engine: SlowEngine) -> None:
    network = replace(fake_network(engine), sizes=Sizes(engine, 32, None, most=2))
    use(network.sizes, TALL, 8)
    until(lambda: engine.tries == [TALL_INPUT])
    closing = threading.Thread(target=network.close)
    closing.start()
    closing.join(0.05)
    assert not engine.closed
    engine.go_on.set()
    closing.join(10)
    assert engine.closed


def test_a_service_that_stops_waits_for_a_compilation_only_so_long(engine: SlowEngine) -> None:
    network = replace(fake_network(engine), sizes=Sizes(engine, 32, None, most=2))
    use(network.sizes, TALL, 8)
    until(lambda: engine.tries == [TALL_INPUT])
    network.close(at_most_s=0.01)
    assert engine.closed
