"""The engine contract (appliance/ports.py) as tests. docs/engines.md shows how to run them with another engine."""

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
    """Subclass this as `TestYourEngine` and implement `make`; pytest then runs every test with your engine."""

    computes = True
    """False: a fake with fixed outputs; tests that compare outputs with inputs are skipped."""

    def make(self, network: Path) -> Engine:
        """Create an engine for this ONNX file, in f32. Convert the file first if the engine reads another format."""
        raise NotImplementedError

    @pytest.fixture
    def engine(self, tmp_path: Path) -> Iterator[Engine]:
        network = tmp_path / "colours.onnx"
        network.write_bytes(colours())
        made = self.make(network)
        yield made
        made.close()

    def _skip_unless_it_computes(self) -> None:
        if not self.computes:
            pytest.skip("this fake engine has fixed outputs")

    def test_an_engine_reports_name_device_precision_and_slots(self, engine: Engine) -> None:
        engine.prepare(SIZES[0])
        assert engine.name
        assert engine.device
        assert engine.precision == "f32"
        assert engine.slots >= 1

    @pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size.width}x{size.height}")
    def test_the_output_of_a_prepared_size_has_the_shape_of_a_head(self, engine: Engine, size: Size) -> None:
        engine.prepare(size)
        raw = engine.infer(noise(size, 1), kept)
        anchors = (size.width // 32) * (size.height // 32)
        assert raw.shape in ((7, anchors), (1, 6))
        assert np.isfinite(raw).all()

    def test_preparing_again_is_harmless(self, engine: Engine) -> None:
        for _ in range(3):
            engine.prepare(SIZES[1])
        assert engine.infer(noise(SIZES[1], 1), kept).ndim == 2

    def test_the_network_input_is_rgb_from_0_to_1(self, engine: Engine) -> None:
        self._skip_unless_it_computes()
        for number, size in enumerate(SIZES):
            engine.prepare(size)
            tensor = noise(size, number)
            raw = engine.infer(tensor, kept)
            np.testing.assert_allclose(raw, expected(tensor), atol=1e-3)

    def test_infer_returns_the_result_of_read(self, engine: Engine) -> None:
        engine.prepare(SIZES[0])
        assert engine.infer(noise(SIZES[0], 1), lambda raw: ("read", raw[0].ndim)) == ("read", 2)

    def test_an_error_in_read_reaches_the_caller_only(self, engine: Engine) -> None:
        def broken(raw: Raw) -> int:
            raise RuntimeError("read cannot read this")

        engine.prepare(SIZES[0])
        for _ in range(5):
            with pytest.raises(RuntimeError, match=r"^read cannot read this$"):
                engine.infer(noise(SIZES[0], 1), broken)
        assert engine.infer(noise(SIZES[0], 1), kept).ndim == 2

    def test_an_unprepared_size_runs_on_the_network_for_any_size(self, engine: Engine) -> None:
        self._skip_unless_it_computes()
        engine.prepare(SIZES[0])
        for number, size in enumerate((*SIZES, *SIZES[::-1])):
            tensor = noise(size, number)
            np.testing.assert_allclose(engine.infer(tensor, kept), expected(tensor), atol=1e-3)
        assert engine.ready() == (SIZES[0], None)

    def test_all_cores_give_the_same_output(self, engine: Engine) -> None:
        self._skip_unless_it_computes()
        engine.prepare(SIZES[1])
        tensor = noise(SIZES[1], 1)
        np.testing.assert_allclose(engine.infer(tensor, kept, all_cores=True), expected(tensor), atol=1e-3)

    def test_a_dropped_size_is_not_ready_and_may_be_dropped_again(self, engine: Engine) -> None:
        engine.prepare(SIZES[0])
        engine.prepare(SIZES[1])
        for _ in range(2):
            engine.drop(SIZES[0])
            assert engine.ready() == (SIZES[1],)
        assert engine.infer(noise(SIZES[0], 1), kept).ndim == 2

    def test_concurrent_inferences_get_the_output_for_their_own_input(self, engine: Engine) -> None:
        """Four threads and five sizes, which are compiled and dropped while other inferences run."""
        wrong: list[object] = []
        answered = [0] * 4

        def camera(number: int) -> None:
            chance = random.Random(number)

            def slowly(raw: Raw) -> NDArray[np.float32]:
                time.sleep(chance.random() / 1000)  # lets another thread run, which may drop the size
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
                    if self.computes and not np.allclose(raw, expected(tensor), atol=1e-3):
                        wrong.append((number, tensor.shape))
            except Exception as error:  # noqa: BLE001  # shown by the assertion below
                wrong.append(error)

        threads = [threading.Thread(target=camera, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S * 2)
            assert not thread.is_alive()
        assert wrong == []
        assert answered == [25] * 4

    def test_close_waits_for_running_inferences_and_refuses_later_ones(self, engine: Engine) -> None:
        self._skip_unless_it_computes()
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

        threads = [threading.Thread(target=one_more) for _ in range(engine.slots + 1)]  # the last one waits for a slot
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
    """An input of a single colour."""
    return np.full((size.height, size.width, 3), np.random.default_rng(seed).integers(0, 256, 3), np.uint8)


def noise(size: Size, seed: int) -> Tensor:
    return np.random.default_rng(seed).integers(0, 256, (size.height, size.width, 3), np.uint8)


def kept(raw: Raw) -> NDArray[np.float32]:
    """Copy the output, which is valid only inside `read`."""
    return np.array(raw[0], np.float32)
