"""That the stand-in holds NVIDIA's rules: each is broken once, as our engine would if it were wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from appliance.testing.colours import colours
from tests.engines.nvidia.gpu import CopyKind, CudaError, Gpu, RuleBroken, Runtime
from tests.engines.nvidia.tensorrt import Plan, tensorrt_module

PROFILES = [[[1, 3, 32, 32], [1, 3, 64, 64], [1, 3, 128, 128]], [[1, 3, 64, 64]] * 3]
SHAPE = (1, 3, 64, 64)
INPUT_BYTES, OUTPUT_BYTES = 4 * 3 * 64 * 64, 4 * 7 * 4
DOWN, UP = CopyKind.cudaMemcpyDeviceToHost, CopyKind.cudaMemcpyHostToDevice


class Bench:
    """An engine of `colours` with one context, and what a frame of 64x64 needs."""

    def __init__(self, version: str) -> None:
        self.gpu = Gpu()
        self.cuda: Any = Runtime(self.gpu)
        self.tensorrt: Any = tensorrt_module(version, self.gpu)
        self.said: list[str] = []
        self.log = self.tensorrt.ILogger()
        self.log.log = lambda severity, msg: self.said.append(msg)
        self.plan = Plan(self.tensorrt.__version__, [8, 7], PROFILES, [], colours())
        self.runtime = self.tensorrt.Runtime(self.log)
        self.engine = self.runtime.deserialize_cuda_engine(self.plan.write())
        self.context = self.engine.create_execution_context()
        self.stream = self.cuda.cudaStreamCreateWithFlags(1)[1]
        self.given = self.cuda.cudaMalloc(INPUT_BYTES)[1]
        self.taken = self.cuda.cudaMalloc(OUTPUT_BYTES)[1]
        self.host = self.cuda.cudaMallocHost(INPUT_BYTES)[1]

    def ready(self) -> Any:
        """The context, with all that it needs for a frame."""
        self.context.set_input_shape("images", SHAPE)
        self.context.set_tensor_address("images", self.given)
        self.context.set_tensor_address("output0", self.taken)
        return self.context

    def run(self) -> Any:
        """A frame is queued."""
        assert self.ready().execute_async_v3(int(self.stream))
        return self.context


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench("10.3.0")
    yield made
    made.cuda.cudaStreamSynchronize(made.stream)


def test_nothing_is_done_before_somebody_waits(bench: Bench) -> None:
    answers = bench.cuda.cudaMallocHost(OUTPUT_BYTES)[1]
    bench.gpu.host[bench.host][:] = 0
    bench.cuda.cudaMemcpyAsync(bench.given, bench.host, INPUT_BYTES, UP, bench.stream)
    bench.run()
    bench.cuda.cudaMemcpyAsync(answers, bench.taken, OUTPUT_BYTES, DOWN, bench.stream)
    answer = bench.gpu.host[answers].view(np.float32)
    assert np.isnan(answer).all()
    bench.cuda.cudaStreamSynchronize(bench.stream)
    assert not np.isnan(answer).any()


@pytest.mark.parametrize("missing", ["images", "output0"])
def test_a_tensor_without_an_address(bench: Bench, missing: str) -> None:
    bench.ready()._addresses.pop(missing)
    assert not bench.context.execute_async_v3(int(bench.stream))
    assert bench.said == [f"the address of {missing} has not been set"]


def test_an_input_without_a_shape(bench: Bench) -> None:
    for name, address in (("images", bench.given), ("output0", bench.taken)):
        bench.context.set_tensor_address(name, address)
    assert not bench.context.execute_async_v3(int(bench.stream))
    assert bench.said == ["the shape of images has not been set"]
    assert tuple(bench.context.get_tensor_shape("output0")) == (1, 7, -1)


@pytest.mark.parametrize("shape", [(1, 3, 160, 64), (1, 3, 64, 16), (2, 3, 64, 64)])
def test_a_shape_outside_the_profile(bench: Bench, shape: tuple[int, ...]) -> None:
    assert not bench.context.set_input_shape("images", shape)


def test_a_shape_is_forgotten_when_the_profile_is_switched(bench: Bench) -> None:
    assert bench.ready().set_optimization_profile_async(1, int(bench.stream))
    assert not bench.context.execute_async_v3(int(bench.stream))


def test_memory_that_is_too_small(bench: Bench) -> None:
    bench.ready().set_tensor_address("output0", bench.cuda.cudaMalloc(OUTPUT_BYTES - 4)[1])
    with pytest.raises(RuleBroken, match=r"112 bytes where 108 were allocated"):
        bench.context.execute_async_v3(int(bench.stream))


def test_memory_of_the_host_as_an_address(bench: Bench) -> None:
    bench.ready().set_tensor_address("images", bench.host)
    with pytest.raises(RuleBroken, match="no memory of the GPU"):
        bench.context.execute_async_v3(int(bench.stream))


def test_a_copy_from_memory_that_is_not_pinned(bench: Bench) -> None:
    pageable = np.zeros(INPUT_BYTES, np.uint8)
    with pytest.raises(RuleBroken, match="no pinned memory of the host"):
        bench.cuda.cudaMemcpyAsync(bench.given, pageable.ctypes.data, INPUT_BYTES, UP, bench.stream)


def test_a_copy_larger_than_its_memory(bench: Bench) -> None:
    with pytest.raises(RuleBroken, match="were allocated"):
        bench.cuda.cudaMemcpyAsync(bench.host, bench.given, INPUT_BYTES + 1, DOWN, bench.stream)


def test_the_default_stream(bench: Bench) -> None:
    with pytest.raises(RuleBroken, match="no stream of this GPU"):
        bench.ready().execute_async_v3(0)


def test_one_context_in_two_streams(bench: Bench) -> None:
    other = bench.cuda.cudaStreamCreateWithFlags(1)[1]
    with pytest.raises(RuleBroken, match="two streams at once"):
        bench.run().execute_async_v3(int(other))
    bench.cuda.cudaStreamSynchronize(bench.stream)
    assert bench.context.execute_async_v3(int(other))
    bench.cuda.cudaStreamSynchronize(other)


def test_two_threads_in_one_context(bench: Bench) -> None:
    with bench.ready()._busy, pytest.raises(RuleBroken, match="two threads"):
        bench.context.execute_async_v3(int(bench.stream))


def test_a_profile_that_is_switched_under_a_frame(bench: Bench) -> None:
    with pytest.raises(RuleBroken, match="a profile is switched while"):
        bench.run().set_optimization_profile_async(1, int(bench.stream))


def test_a_frame_in_another_stream_than_the_switch_before_it_is_done(bench: Bench) -> None:
    other = bench.cuda.cudaStreamCreateWithFlags(1)[1]
    bench.context.set_optimization_profile_async(1, int(other))
    with pytest.raises(RuleBroken, match="before the switch of the profile"):
        bench.ready().execute_async_v3(int(bench.stream))


@pytest.mark.parametrize(("version", "shares"), [("8.6.1", False), ("10.3.0", True), ("11.4.0.106", True)])
def test_two_contexts_share_a_profile_from_version_10_on(version: str, shares: bool) -> None:
    bench = Bench(version)
    second = bench.engine.create_execution_context()
    assert second.set_optimization_profile_async(1, int(bench.stream))
    assert second.set_optimization_profile_async(0, int(bench.stream)) is shares


@pytest.mark.parametrize("what", ["given", "taken"])
def test_memory_that_is_freed_under_a_frame(bench: Bench, what: str) -> None:
    bench.run()
    with pytest.raises(RuleBroken, match="freed that queued work uses"):
        bench.cuda.cudaFree(getattr(bench, what))


def test_pinned_memory_that_is_freed_under_a_copy(bench: Bench) -> None:
    bench.cuda.cudaMemcpyAsync(bench.given, bench.host, INPUT_BYTES, UP, bench.stream)
    with pytest.raises(RuleBroken, match="freed that queued work uses"):
        bench.cuda.cudaFreeHost(bench.host)


def test_a_stream_and_an_event_that_go_too_early(bench: Bench) -> None:
    bench.run()
    event = bench.cuda.cudaEventCreateWithFlags(3)[1]
    bench.cuda.cudaEventRecord(event, bench.stream)
    with pytest.raises(RuleBroken, match="an event is destroyed"):
        bench.cuda.cudaEventDestroy(event)
    with pytest.raises(RuleBroken, match="a stream is destroyed"):
        bench.cuda.cudaStreamDestroy(bench.stream)


def test_a_context_that_goes_under_its_frame(bench: Bench) -> None:
    bench.run()
    bench.context = None
    assert bench.gpu.broken == ["a context went while its work was queued"]


def test_what_goes_before_what_hangs_on_it(bench: Bench) -> None:
    context, engine = bench.context, bench.engine
    bench.engine = engine = None
    assert bench.gpu.broken == ["the engine went before its context"]
    assert (context, engine) == (bench.context, None)
    other = Bench("10.3.0")
    other.context, other.runtime = None, None
    assert other.gpu.broken == ["the runtime went before its engine"]


@pytest.mark.parametrize(
    ("changed", "why"), [({"version": "10.7.0"}, "not compatible"), ({"compute": [7, 2]}, "incompatible device")]
)
def test_an_engine_of_elsewhere(bench: Bench, changed: dict[str, Any], why: str) -> None:
    plan = Plan(**vars(bench.plan) | changed).write()
    assert bench.runtime.deserialize_cuda_engine(plan) is None
    assert bench.runtime.deserialize_cuda_engine(plan[5:]) is None
    assert why in bench.said[0]


@pytest.mark.parametrize(("version", "flags"), [("8.6.1", 0), ("11.4.0.106", 1)])
def test_a_flag_that_a_version_needs_or_does_not_know(version: str, flags: int) -> None:
    bench = Bench(version)
    with pytest.raises(RuleBroken):
        bench.tensorrt.Builder(bench.log).create_network(flags)


def test_a_network_of_any_size_that_is_built_without_a_profile(bench: Bench) -> None:
    builder = bench.tensorrt.Builder(bench.log)
    network = builder.create_network(1)
    assert bench.tensorrt.OnnxParser(network, bench.log).parse(colours())
    assert builder.build_serialized_network(network, builder.create_builder_config()) is None


def test_memory_has_an_end(bench: Bench) -> None:
    assert bench.cuda.cudaMalloc(1 << 40) == (CudaError.cudaErrorMemoryAllocation, None)


def test_what_is_never_freed(bench: Bench) -> None:
    with pytest.raises(AssertionError, match="never freed"):
        bench.gpu.check_all_is_free()
