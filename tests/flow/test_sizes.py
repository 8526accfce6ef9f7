"""The input size of each frame, and which sizes get a network of their own."""

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
    """An engine whose compilations wait for `go_on`."""

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
            raise EngineError("compiling failed")
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
    """All compilations so far. The network for any size is requested here, so it comes last."""
    engine.go_on.set()
    sizes.prepare_any()
    until(lambda: None in engine.ready())
    sizes.close()
    return engine.tries


def test_a_frame_runs_at_its_best_size_before_that_size_is_compiled(engine: SlowEngine) -> None:
    sizes = Sizes(engine, 32, None)
    assert sizes.choose(WIDE, 640) == WIDE_INPUT
    for _ in range(100):  # all compilations still wait
        assert sizes.choose(TALL, 640) == TALL_INPUT
    assert sizes.choose(WIDE, 320) == Size(320, 192)


def test_a_regularly_used_size_gets_a_network_of_its_own(engine: SlowEngine) -> None:
    engine.go_on.set()
    sizes = Sizes(engine, 32, None, most=2)
    use(sizes, FOUR_TO_THREE, 8)
    until(lambda: FOUR_TO_THREE_INPUT in engine.ready())
    use(sizes, FOUR_TO_THREE, 50)
    assert all_tries(sizes, engine) == [FOUR_TO_THREE_INPUT, None]
    assert WIDE_INPUT in engine.ready()


def test_occasional_sizes_get_no_network(engine: SlowEngine) -> None:
    sizes = Sizes(engine, 32, None, most=4)
    for _ in range(6):
        for height in range(416, 513, 32):  # a folder of photographs
            sizes.choose(Size(640, height), 640)
    assert all_tries(sizes, engine) == [None]


def test_after_a_step_down_the_smaller_size_replaces_the_previous_one(engine: SlowEngine) -> None:
    engine.go_on.set()
    sizes = Sizes(engine, 32, None)
    use(sizes, WIDE, 1000)
    use(sizes, WIDE, 200, max_side=320)
    until(lambda: engine.ready() == (Size(320, 192),))
    use(sizes, WIDE, 200)
    until(lambda: engine.ready() == (WIDE_INPUT,))


def test_a_network_is_dropped_before_its_replacement_is_compiled(engine: SlowEngine) -> None:
    sizes = Sizes(engine, 32, None)
    use(sizes, TALL, 8)
    until(lambda: engine.tries == [TALL_INPUT])
    assert engine.ready() == ()


@given(st.lists(st.booleans(), max_size=400))
def test_two_cameras_of_different_shapes_do_not_evict_each_other(coins: list[bool]) -> None:
    """In any order of each pair of frames."""
    engine = SlowEngine(WIDE_INPUT)
    sizes = Sizes(engine, 32, None)
    for wide_first in coins:
        for image in (WIDE, TALL) if wide_first else (TALL, WIDE):
            sizes.choose(image, 640)
    assert all_tries(sizes, engine) == [None]


def test_the_network_for_any_size_is_prepared_before_a_lower_limit_takes_effect(engine: SlowEngine) -> None:
    engine.go_on.set()
    sizes = Sizes(engine, 32, None)
    sizes.choose(WIDE, 640, 512)
    until(lambda: None in engine.ready())
    for _ in range(20):
        sizes.choose(WIDE, 640, 512)
    assert all_tries(sizes, engine) == [None]


def test_a_failed_compilation_is_not_repeated_and_frames_continue(
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


def test_close_waits_for_a_compilation_and_prevents_further_ones(engine: SlowEngine) -> None:
    sizes = Sizes(engine, 32, None)
    use(sizes, TALL, 8)
    until(lambda: engine.tries == [TALL_INPUT])
    threading.Timer(0.05, engine.go_on.set).start()
    sizes.close()
    assert engine.ready() == (TALL_INPUT,)
    sizes.prepare_any()
    use(sizes, FOUR_TO_THREE, 100)
    assert engine.tries == [TALL_INPUT]


def test_without_a_network_for_any_size_a_frame_runs_at_the_size_that_shows_it_largest(engine: SlowEngine) -> None:
    square = Size(512, 512)
    engine.prepared.append(square)
    sizes = Sizes(engine, 32, None, most=2, any_size=False)
    assert sizes.choose(WIDE, 640, 512) == WIDE_INPUT
    assert sizes.choose(TALL, 640) == square
    assert sizes.choose(Size(3000, 800), 640) == WIDE_INPUT
    assert sizes.choose(WIDE, 512) == square  # 640 is above the limit
    engine.prepared.remove(square)
    assert sizes.choose(WIDE, 512) == WIDE_INPUT  # nothing else is there
    engine.go_on.set()
    sizes.prepare_any()
    sizes.close()
    assert engine.tries == []


def test_without_a_network_for_any_size_the_previous_one_serves_until_its_replacement_is_there(
    engine: SlowEngine,
) -> None:
    sizes = Sizes(engine, 32, None, any_size=False)
    use(sizes, TALL, 8)
    until(lambda: engine.tries == [TALL_INPUT])
    assert sizes.choose(TALL, 640) == WIDE_INPUT
    engine.go_on.set()
    until(lambda: engine.ready() == (TALL_INPUT,))
    assert sizes.choose(TALL, 640) == TALL_INPUT
    engine.prepared.append(None)  # a frame that still ran at the previous size made it
    sizes.choose(WIDE, 640)
    assert engine.ready() == (TALL_INPUT,)


def test_a_fixed_size_network_runs_every_picture_at_that_size() -> None:
    sizes = Sizes(FakeEngine(), 32, Size(640, 640))
    assert sizes.best(WIDE, 320) == sizes.choose(WIDE, 320) == Size(640, 640)
    sizes.close()


def test_when_memory_is_scarce_spare_networks_are_dropped_and_none_is_prepared() -> None:
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


def test_the_only_network_is_kept_even_when_memory_is_scarce() -> None:
    engine = FakeEngine()
    engine.prepare(None)
    sizes = Sizes(engine, 32, None)
    sizes.keep(1)
    assert engine.ready() == (None,)
    sizes.close()


def test_closing_a_network_waits_for_its_last_compilation(engine: SlowEngine) -> None:
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


def test_closing_a_network_can_limit_the_wait_for_a_compilation(engine: SlowEngine) -> None:
    network = replace(fake_network(engine), sizes=Sizes(engine, 32, None, most=2))
    use(network.sizes, TALL, 8)
    until(lambda: engine.tries == [TALL_INPUT])
    network.close(at_most_s=0.01)
    assert engine.closed
