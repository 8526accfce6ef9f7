"""The TensorRT engine on a stand-in that enforces NVIDIA's rules (tests/engines/nvidia). These tests need no GPU."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.engines.tensorrt.engine import TensorRTEngine
from appliance.errors import EngineError
from appliance.ports import Engine
from appliance.testing.colours import colours, expected
from appliance.testing.engines import SIZES, WAIT_S, EngineContract, kept, noise
from appliance.values import Size
from tests.engines.nvidia.jetson import Jetson, install_cuda
from tests.engines.nvidia.tensorrt import VERSIONS

USUAL = (Size(640, 384), Size(96, 64))


@pytest.mark.parametrize("version", VERSIONS, scope="class")
class TestTensorRT(EngineContract):
    @pytest.fixture(autouse=True)
    def _jetson(self, version: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        self.jetson = Jetson(monkeypatch, version)
        yield
        self.jetson.gpu.check_all_is_free()

    def make(self, network: Path) -> Engine:
        self.jetson.build(network, USUAL)
        return self.jetson.engine(network, sizes=USUAL)


@pytest.fixture
def engine(jetson: Jetson, network: Path) -> Iterator[TensorRTEngine]:
    jetson.build(network, USUAL)
    made = jetson.engine(network)
    yield made
    made.close()


def test_a_second_frame_is_queued_while_the_first_is_computed(jetson: Jetson, engine: TensorRTEngine) -> None:
    engine.prepare(USUAL[0])
    jetson.gpu.hold()
    answers: dict[int, NDArray[np.float32]] = {}

    def camera(number: int) -> None:
        answers[number] = engine.infer(noise(USUAL[0], number), kept)

    cameras = [threading.Thread(target=camera, args=(number,)) for number in range(4)]
    for thread in cameras:
        thread.start()
    per_frame = 3  # copy to the GPU, inference, copy back
    assert jetson.gpu.wait_until_queued(1 + 2 * per_frame)  # 1: the switch to the profile
    jetson.gpu.release()
    for thread in cameras:
        thread.join(WAIT_S)
    for number, answer in answers.items():
        np.testing.assert_allclose(answer, expected(noise(USUAL[0], number)), atol=1e-3)
    assert len(answers) == 4


def test_a_tuned_size_has_its_own_profile_and_the_others_share_one(engine: TensorRTEngine, jetson: Jetson) -> None:
    for size in (*USUAL, *SIZES):
        engine.prepare(size)
    engine.prepare(None)
    assert len(engine._contexts) == 3
    assert set(engine.ready()) == {*USUAL, *SIZES, None}


def test_an_input_larger_than_the_largest_profile_is_rejected(engine: TensorRTEngine) -> None:
    with pytest.raises(EngineError, match="built for inputs up to 640x640; it cannot run 1280x736"):
        engine.prepare(Size(1280, 736))
    with pytest.raises(EngineError, match="does not satisfy optimization profile"):
        engine.infer(noise(Size(1280, 736), 1), kept)
    np.testing.assert_allclose(engine.infer(noise(USUAL[0], 1), kept), expected(noise(USUAL[0], 1)), atol=1e-3)


def test_a_network_of_one_size_needs_no_profile(jetson: Jetson, network: Path) -> None:
    network.write_bytes(colours(Size(128, 96)))
    jetson.build(network)
    engine = jetson.engine(network)
    engine.prepare(Size(128, 96))
    tensor = noise(Size(128, 96), 1)
    for all_cores in (False, True):
        np.testing.assert_allclose(engine.infer(tensor, kept, all_cores=all_cores), expected(tensor), atol=1e-3)
    with pytest.raises(EngineError, match="up to 128x96"):
        engine.prepare(Size(64, 64))
    engine.close()


def test_frames_fail_while_gpu_memory_is_exhausted_and_succeed_afterwards(
    jetson: Jetson, engine: TensorRTEngine
) -> None:
    free = jetson.gpu.free_bytes
    jetson.gpu.free_bytes = 1000
    for _ in range(3):
        with pytest.raises(EngineError, match=r"out of memory \(cudaMalloc\)"):
            engine.infer(noise(USUAL[0], 1), kept)
    jetson.gpu.free_bytes = free
    assert engine.infer(noise(USUAL[0], 1), kept).ndim == 2


def test_a_frame_that_tensorrt_rejects_leaves_nothing_in_the_stream(jetson: Jetson, engine: TensorRTEngine) -> None:
    jetson.gpu.refuses_frames = 2
    for _ in range(2):
        with pytest.raises(EngineError, match=r"^TensorRT failed: .*illegal memory access"):
            engine.infer(noise(SIZES[0], 1), kept)
    for _ in range(2):  # larger, so its buffers replace the previous ones
        np.testing.assert_allclose(engine.infer(noise(USUAL[0], 1), kept), expected(noise(USUAL[0], 1)), atol=1e-3)


def test_buffers_grow_with_the_frames_and_are_reused(jetson: Jetson, engine: TensorRTEngine) -> None:
    for size in (SIZES[0], USUAL[0], *SIZES):
        for _ in range(4):
            engine.infer(noise(size, 1), kept)
    buffers = 2 * 2  # two sets of one input and one output
    assert len(jetson.gpu.device) == len(jetson.gpu.host) == buffers


def test_a_machine_without_a_gpu_is_reported(monkeypatch: pytest.MonkeyPatch, network: Path) -> None:
    jetson = Jetson(monkeypatch)
    jetson.build(network)
    install_cuda(monkeypatch, None)
    with pytest.raises(EngineError, match=r"no usable NVIDIA GPU: .*no CUDA-capable device") as caught:
        jetson.engine(network)
    assert caught.value.code == "engine_device_missing"


def test_a_missing_tensorrt_is_reported_with_the_package_to_install(network: Path) -> None:
    with pytest.raises(EngineError, match=r"TensorRT cannot be loaded .*python3-libnvinfer.*--system-site-packages"):
        TensorRTEngine(network)


@pytest.mark.parametrize("device", ["NPU", "GPU.1", "AUTO"])
def test_any_other_device_is_rejected(jetson: Jetson, network: Path, device: str) -> None:
    with pytest.raises(EngineError, match=rf"not on {device}; set engine\.device"):
        jetson.engine(network, device=device)
