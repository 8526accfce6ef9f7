"""What every engine promises (appliance/ports.py), as tests; docs/engines.md shows how to run them with yours."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.errors import EngineError
from appliance.ports import Engine, Raw, Tensor
from appliance.testing.colours import colours, expected
from appliance.values import Size

WAIT_S = 30
SIZES = [Size(32 * across, 32 * down) for across, down in ((1, 1), (3, 2), (2, 5), (6, 6), (20, 12))]


class EngineContract:
    """Subclass it as `TestYours` and give `make`; pytest then runs all that is here with your engine."""

    sees = True
    """False: a stand-in, whose answers do not belong to its inputs; what asks for them is skipped."""

    def make(self, network: Path) -> Engine:
        """An engine with this ONNX file, computing in f32.

        An engine that reads another format converts it here.
        """
        raise NotImplementedError

    @pytest.fixture
    def engine(self, tmp_path: Path) -> Iterator[Engine]:
        network = tmp_path / "colours.onnx"
        network.write_bytes(colours())
        made = self.make(network)
        yield made
        made.close()

    def _must_see(self) -> None:
        if not self.sees:
            pytest.skip("a stand-in gives a fixed answer, whatever it is shown and prepared for")

    def test_an_engine_says_what_it_is_and_how_much_it_does_at_once(self, engine: Engine) -> None:
        engine.prepare(SIZES[0])
        assert engine.name
        assert engine.device
        assert engine.precision == "f32"
        assert engine.slots >= 1

    @pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size.width}x{size.height}")
    def test_a_prepared_size_is_answered_in_the_shape_of_a_head(self, engine: Engine, size: Size) -> None:
        engine.prepare(size)
        raw = engine.infer(noise(size, 1), kept)
        anchors = (size.width // 32) * (size.height // 32)
        assert raw.shape in ((7, anchors), (1, 6))
        assert np.isfinite(raw).all()

    def test_preparing_twice_is_free_and_harmless(self, engine: Engine) -> None:
        for _ in range(3):
            engine.prepare(SIZES[1])
        assert engine.infer(noise(SIZES[1], 1), kept).ndim == 2

    def test_the_picture_goes_in_as_rgb_from_0_to_1(self, engine: Engine) -> None:
        self._must_see()
        for number, size in enumerate(SIZES):
            engine.prepare(size)
            tensor = noise(size, number)
            raw = engine.infer(tensor, kept)
            np.testing.assert_allclose(raw, expected(tensor), atol=1e-3)

    def test_what_read_returns_is_the_answer(self, engine: Engine) -> None:
        engine.prepare(SIZES[0])
        assert engine.infer(noise(SIZES[0], 1), lambda raw: ("read", raw[0].ndim)) == ("read", 2)

    def test_an_error_in_read_reaches_the_caller_and_harms_nobody_else(self, engine: Engine) -> None:
        def broken(raw: Raw) -> int:
            raise RuntimeError("read cannot read this")

        engine.prepare(SIZES[0])
        for _ in range(5):
            with pytest.raises(RuntimeError, match=r"^read cannot read this$"):
                engine.infer(noise(SIZES[0], 1), broken)
        assert engine.infer(noise(SIZES[0], 1), kept).ndim == 2

    def test_a_size_that_was_not_prepared_runs_on_the_network_for_any(self, engine: Engine) -> None:
        self._must_see()
        engine.prepare(SIZES[0])
        for number, size in enumerate((*SIZES, *SIZES[::-1])):
            tensor = noise(size, number)
            np.testing.assert_allclose(engine.infer(tensor, kept), expected(tensor), atol=1e-3)
        assert engine.ready() == (SIZES[0], None)

    def test_a_frame_that_gets_all_cores_is_answered_alike(self, engine: Engine) -> None:
        self._must_see()
        engine.prepare(SIZES[1])
        tensor = noise(SIZES[1], 1)
        np.testing.assert_allclose(engine.infer(tensor, kept, all_cores=True), expected(tensor), atol=1e-3)

    def test_what_was_dropped_is_no_longer_ready_and_may_be_dropped_again(self, engine: Engine) -> None:
        engine.prepare(SIZES[0])
        engine.prepare(SIZES[1])
        for _ in range(2):
            engine.drop(SIZES[0])
            assert engine.ready() == (SIZES[1],)
        assert engine.infer(noise(SIZES[0], 1), kept).ndim == 2

    def test_many_at_once_each_get_the_answer_to_their_own_picture(self, engine: Engine) -> None:
        """Four threads and five sizes, which are compiled and dropped while others run, or use all cores."""
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
                    if self.sees and not np.allclose(raw, expected(tensor), atol=1e-3):
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

    def test_close_waits_for_what_is_running_and_then_nothing_more_runs(self, engine: Engine) -> None:
        self._must_see()
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

        threads = [
            threading.Thread(target=one_more) for _ in range(engine.slots + 1)
        ]  # the last one waits for its turn
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

    def test_closing_twice_is_harmless(self, engine: Engine) -> None:
        engine.prepare(SIZES[0])
        engine.close()
        engine.close()


def colour(size: Size, seed: int) -> Tensor:
    """An input of one colour."""
    return np.full((size.height, size.width, 3), np.random.default_rng(seed).integers(0, 256, 3), np.uint8)


def noise(size: Size, seed: int) -> Tensor:
    return np.random.default_rng(seed).integers(0, 256, (size.height, size.width, 3), np.uint8)


def kept(raw: Raw) -> NDArray[np.float32]:
    """A copy: the array is only valid while it is read."""
    return np.array(raw[0], np.float32)
