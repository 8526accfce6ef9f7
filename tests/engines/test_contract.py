"""What every engine promises (appliance/ports.py), held against each: OpenVINO with a network of known answers, and
the fake that other tests use in its place.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.engines import registry
from appliance.errors import EngineError
from appliance.ports import Engine, Raw, Tensor
from appliance.values import Size
from tests.fakes import FakeEngine
from tests.models import networks

WAIT_S = 30
SIZES = [Size(32 * across, 32 * down) for across, down in ((1, 1), (3, 2), (2, 5), (6, 6), (20, 12))]


@dataclass(frozen=True, slots=True)
class Subject:
    """An engine, and whether its answers belong to its inputs: the fake says the same to all."""

    engine: Engine
    sees: bool


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return networks.save_ir(networks.colours(), tmp_path_factory.mktemp("network") / "model.xml")


@pytest.fixture(params=["openvino", "fake"])
def subject(request: pytest.FixtureRequest, network: Path) -> Iterator[Subject]:
    if request.param == "fake":
        engine: Engine = FakeEngine()
    else:
        engine = registry.create(request.param, network, precision="f32")
    yield Subject(engine, request.param != "fake")
    engine.close()


def seeing(subject: Subject) -> Engine:
    if not subject.sees:
        pytest.skip("the fake gives a fixed answer, whatever it is shown and prepared for")
    return subject.engine


def colour(size: Size, seed: int) -> Tensor:
    """An input of one colour."""
    return np.full((size.height, size.width, 3), np.random.default_rng(seed).integers(0, 256, 3), np.uint8)


def noise(size: Size, seed: int) -> Tensor:
    return np.random.default_rng(seed).integers(0, 256, (size.height, size.width, 3), np.uint8)


def kept(raw: Raw) -> NDArray[np.float32]:
    """A copy: the array is only valid while it is read."""
    return np.array(raw[0], np.float32)


def test_an_engine_says_what_it_is_and_how_much_it_does_at_once(subject: Subject) -> None:
    subject.engine.prepare(SIZES[0])
    assert subject.engine.name
    assert subject.engine.device == "CPU"
    assert subject.engine.precision == "f32"
    assert subject.engine.slots >= 1


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size.width}x{size.height}")
def test_a_prepared_size_is_answered_in_the_shape_of_a_head(subject: Subject, size: Size) -> None:
    subject.engine.prepare(size)
    raw = subject.engine.infer(noise(size, 1), kept)
    anchors = (size.width // 32) * (size.height // 32)
    assert raw.shape in ((7, anchors), (1, 6))
    assert np.isfinite(raw).all()


def test_preparing_twice_is_free_and_harmless(subject: Subject) -> None:
    for _ in range(3):
        subject.engine.prepare(SIZES[1])
    assert subject.engine.infer(noise(SIZES[1], 1), kept).ndim == 2


def test_the_picture_goes_in_as_rgb_from_0_to_1(subject: Subject) -> None:
    engine = seeing(subject)
    for number, size in enumerate(SIZES):
        engine.prepare(size)
        tensor = noise(size, number)
        raw = engine.infer(tensor, kept)
        np.testing.assert_allclose(raw, networks.expected(tensor), atol=1e-3)


def test_what_read_returns_is_the_answer(subject: Subject) -> None:
    subject.engine.prepare(SIZES[0])
    assert subject.engine.infer(noise(SIZES[0], 1), lambda raw: ("read", raw[0].ndim)) == ("read", 2)


def test_an_error_in_read_reaches_the_caller_and_harms_nobody_else(subject: Subject) -> None:
    def broken(raw: Raw) -> int:
        raise RuntimeError("read cannot read this")

    subject.engine.prepare(SIZES[0])
    for _ in range(5):
        with pytest.raises(RuntimeError, match=r"^read cannot read this$"):
            subject.engine.infer(noise(SIZES[0], 1), broken)
    assert subject.engine.infer(noise(SIZES[0], 1), kept).ndim == 2


def test_a_size_that_was_not_prepared_runs_on_the_network_for_any(subject: Subject) -> None:
    engine = seeing(subject)
    engine.prepare(SIZES[0])
    for number, size in enumerate((*SIZES, *SIZES[::-1])):
        tensor = noise(size, number)
        np.testing.assert_allclose(engine.infer(tensor, kept), networks.expected(tensor), atol=1e-3)
    assert engine.ready() == (SIZES[0], None)


def test_a_frame_that_gets_all_cores_is_answered_alike(subject: Subject) -> None:
    engine = seeing(subject)
    engine.prepare(SIZES[1])
    tensor = noise(SIZES[1], 1)
    np.testing.assert_allclose(engine.infer(tensor, kept, all_cores=True), networks.expected(tensor), atol=1e-3)


def test_what_was_dropped_is_no_longer_ready_and_may_be_dropped_again(subject: Subject) -> None:
    subject.engine.prepare(SIZES[0])
    subject.engine.prepare(SIZES[1])
    for _ in range(2):
        subject.engine.drop(SIZES[0])
        assert subject.engine.ready() == (SIZES[1],)
    assert subject.engine.infer(noise(SIZES[0], 1), kept).ndim == 2


def test_many_at_once_each_get_the_answer_to_their_own_picture(subject: Subject) -> None:
    """Four threads and five sizes, which are compiled and dropped while others run, or use all cores."""
    engine = subject.engine
    wrong: list[object] = []
    answered = [0] * 4

    def camera(number: int) -> None:
        chance = random.Random(number)

        def slowly(raw: Raw) -> NDArray[np.float32]:
            time.sleep(chance.random() / 1000)  # another thread's turn; the size may be dropped meanwhile
            return kept(raw)

        try:
            for round_ in range(25):
                tensor = colour(chance.choice(SIZES), number * 1000 + round_)
                if chance.random() < 0.5:
                    engine.prepare(Size(tensor.shape[1], tensor.shape[0]))
                if chance.random() < 0.3:
                    engine.drop(chance.choice(SIZES))
                raw = engine.infer(tensor, slowly, all_cores=chance.random() < 0.2)
                answered[number] += 1
                if subject.sees and not np.allclose(raw, networks.expected(tensor), atol=1e-3):
                    wrong.append((number, tensor.shape))
        except Exception as error:  # noqa: BLE001  # shown by the assertion below
            wrong.append(error)

    threads = [threading.Thread(target=camera, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S * 2)
    assert wrong == []
    assert answered == [25] * 4


def test_close_waits_for_what_is_running_and_then_nothing_more_runs(subject: Subject) -> None:
    engine = seeing(subject)
    engine.prepare(SIZES[0])
    running, done, refused = threading.Semaphore(0), [], []

    def slowly(raw: Raw) -> None:
        running.release()
        time.sleep(0.1)
        done.append(1)

    def one_more() -> None:
        try:
            engine.infer(noise(SIZES[0], 1), slowly)
        except EngineError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=one_more) for _ in range(engine.slots + 1)]  # the last one waits for its turn
    for thread in threads:
        thread.start()
    for _ in range(engine.slots):
        assert running.acquire(timeout=WAIT_S)
    engine.close()
    assert len(done) >= engine.slots
    for thread in threads:
        thread.join(WAIT_S)
    assert len(done) + len(refused) == engine.slots + 1
    with pytest.raises(EngineError, match="closed"):
        engine.infer(noise(SIZES[0], 1), kept)


def test_closing_twice_is_harmless(subject: Subject) -> None:
    subject.engine.prepare(SIZES[0])
    subject.engine.close()
    subject.engine.close()
