"""The stand-in enforces NVIDIA's rules: each is broken once, as a faulty engine would."""

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
TO_HOST, TO_GPU = CopyKind.cudaMemcpyDeviceToHost, CopyKind.cudaMemcpyHostToDevice


class Bench:
    """An engine of `colours` with one context, and the memory for a frame of 64x64."""

    def __init__(self, version: str) -> None:
        self.gpu = Gpu()
        self.cuda: Any = Runtime(self.gpu)
        self.tensorrt: Any = tensorrt_module(version, self.gpu)
        self.logged: list[str] = []
        self.log = self.tensorrt.ILogger()
        self.log.log = lambda severity, msg: self.logged.append(msg)
        self.plan = Plan(self.tensorrt.__version__, [8, 7], PROFILES, [], colours())
        self.runtime = self.tensorrt.Runtime(self.log)
        self.engine = self.runtime.deserialize_cuda_engine(self.plan.write())
        self.context = self.engine.create_execution_context()
        self.stream = self.cuda.cudaStreamCreateWithFlags(1)[1]
        self.input = self.cuda.cudaMalloc(INPUT_BYTES)[1]
        self.output = self.cuda.cudaMalloc(OUTPUT_BYTES)[1]
        self.host = self.cuda.cudaMallocHost(INPUT_BYTES)[1]

    def ready(self) -> Any:
        """The context, with shape and addresses set for a frame."""
        self.context.set_input_shape("images", SHAPE)
        self.context.set_tensor_address("images", self.input)
        self.context.set_tensor_address("output0", self.output)
        return self.context

    def run(self) -> Any:
        """Queue a frame."""
        assert self.ready().execute_async_v3(int(self.stream))
        return self.context


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench("10.3.0")
    yield made
    made.cuda.cudaStreamSynchronize(made.stream)


def test_work_runs_only_when_a_thread_waits(bench: Bench) -> None:
    answers = bench.cuda.cudaMallocHost(OUTPUT_BYTES)[1]
    bench.gpu.host[bench.host][:] = 0
    bench.cuda.cudaMemcpyAsync(bench.input, bench.host, INPUT_BYTES, TO_GPU, bench.stream)
    bench.run()
    bench.cuda.cudaMemcpyAsync(answers, bench.output, OUTPUT_BYTES, TO_HOST, bench.stream)
    answer = bench.gpu.host[answers].view(np.float32)
    assert np.isnan(answer).all()
    bench.cuda.cudaStreamSynchronize(bench.stream)
    assert not np.isnan(answer).any()


@pytest.mark.parametrize("missing", ["images", "output0"])
def test_a_tensor_needs_an_address(bench: Bench, missing: str) -> None:
    bench.ready()._addresses.pop(missing)
    assert not bench.context.execute_async_v3(int(bench.stream))
    assert bench.logged == [f"the address of {missing} has not been set"]


def test_an_input_needs_a_shape(bench: Bench) -> None:
    for name, address in (("images", bench.input), ("output0", bench.output)):
        bench.context.set_tensor_address(name, address)
    assert not bench.context.execute_async_v3(int(bench.stream))
    assert bench.logged == ["the shape of images has not been set"]
    assert tuple(bench.context.get_tensor_shape("output0")) == (1, 7, -1)


@pytest.mark.parametrize("shape", [(1, 3, 160, 64), (1, 3, 64, 16), (2, 3, 64, 64)])
def test_a_shape_outside_the_profile_is_rejected(bench: Bench, shape: tuple[int, ...]) -> None:
    assert not bench.context.set_input_shape("images", shape)


def test_switching_the_profile_resets_the_shape(bench: Bench) -> None:
    assert bench.ready().set_optimization_profile_async(1, int(bench.stream))
    assert not bench.context.execute_async_v3(int(bench.stream))


def test_memory_has_to_be_large_enough(bench: Bench) -> None:
    bench.ready().set_tensor_address("output0", bench.cuda.cudaMalloc(OUTPUT_BYTES - 4)[1])
    with pytest.raises(RuleBroken, match=r"112 bytes used of 108 allocated"):
        bench.context.execute_async_v3(int(bench.stream))


def test_a_tensor_address_has_to_be_gpu_memory(bench: Bench) -> None:
    bench.ready().set_tensor_address("images", bench.host)
    with pytest.raises(RuleBroken, match="is not GPU memory"):
        bench.context.execute_async_v3(int(bench.stream))


def test_a_copy_needs_pinned_memory(bench: Bench) -> None:
    pageable = np.zeros(INPUT_BYTES, np.uint8)
    with pytest.raises(RuleBroken, match="is not pinned host memory"):
        bench.cuda.cudaMemcpyAsync(bench.input, pageable.ctypes.data, INPUT_BYTES, TO_GPU, bench.stream)


def test_a_copy_stays_inside_its_memory(bench: Bench) -> None:
    with pytest.raises(RuleBroken, match="allocated"):
        bench.cuda.cudaMemcpyAsync(bench.host, bench.input, INPUT_BYTES + 1, TO_HOST, bench.stream)


def test_the_default_stream_is_not_allowed(bench: Bench) -> None:
    with pytest.raises(RuleBroken, match="is not a stream of this GPU"):
        bench.ready().execute_async_v3(0)


def test_a_context_uses_one_stream_at_a_time(bench: Bench) -> None:
    other = bench.cuda.cudaStreamCreateWithFlags(1)[1]
    with pytest.raises(RuleBroken, match="two streams at the same time"):
        bench.run().execute_async_v3(int(other))
    bench.cuda.cudaStreamSynchronize(bench.stream)
    assert bench.context.execute_async_v3(int(other))
    bench.cuda.cudaStreamSynchronize(other)


def test_a_context_is_used_by_one_thread_at_a_time(bench: Bench) -> None:
    with bench.ready()._busy, pytest.raises(RuleBroken, match="two threads"):
        bench.context.execute_async_v3(int(bench.stream))


def test_a_profile_is_not_switched_while_a_frame_is_queued(bench: Bench) -> None:
    with pytest.raises(RuleBroken, match="profile switched while"):
        bench.run().set_optimization_profile_async(1, int(bench.stream))


def test_a_frame_in_another_stream_waits_for_the_profile_switch(bench: Bench) -> None:
    other = bench.cuda.cudaStreamCreateWithFlags(1)[1]
    bench.context.set_optimization_profile_async(1, int(other))
    with pytest.raises(RuleBroken, match="before the profile switch"):
        bench.ready().execute_async_v3(int(bench.stream))


@pytest.mark.parametrize(("version", "shares"), [("8.6.1", False), ("10.3.0", True), ("11.4.0.106", True)])
def test_two_contexts_share_a_profile_from_version_10_on(version: str, shares: bool) -> None:
    bench = Bench(version)
    second = bench.engine.create_execution_context()
    assert second.set_optimization_profile_async(1, int(bench.stream))
    assert second.set_optimization_profile_async(0, int(bench.stream)) is shares


@pytest.mark.parametrize("what", ["input", "output"])
def test_memory_is_not_freed_while_a_frame_uses_it(bench: Bench, what: str) -> None:
    bench.run()
    with pytest.raises(RuleBroken, match="freed while queued work uses it"):
        bench.cuda.cudaFree(getattr(bench, what))


def test_pinned_memory_is_not_freed_while_a_copy_uses_it(bench: Bench) -> None:
    bench.cuda.cudaMemcpyAsync(bench.input, bench.host, INPUT_BYTES, TO_GPU, bench.stream)
    with pytest.raises(RuleBroken, match="freed while queued work uses it"):
        bench.cuda.cudaFreeHost(bench.host)


def test_streams_and_events_are_not_destroyed_while_in_use(bench: Bench) -> None:
    bench.run()
    event = bench.cuda.cudaEventCreateWithFlags(3)[1]
    bench.cuda.cudaEventRecord(event, bench.stream)
    with pytest.raises(RuleBroken, match="event destroyed"):
        bench.cuda.cudaEventDestroy(event)
    with pytest.raises(RuleBroken, match="stream destroyed"):
        bench.cuda.cudaStreamDestroy(bench.stream)


def test_a_context_is_not_destroyed_while_its_frame_is_queued(bench: Bench) -> None:
    bench.run()
    bench.context = None
    assert bench.gpu.broken == ["context destroyed while its work is queued"]


def test_contexts_engine_and_runtime_are_destroyed_in_order(bench: Bench) -> None:
    context, engine = bench.context, bench.engine
    bench.engine = engine = None
    assert bench.gpu.broken == ["engine destroyed before its context"]
    assert (context, engine) == (bench.context, None)
    other = Bench("10.3.0")
    other.context, other.runtime = None, None
    assert other.gpu.broken == ["runtime destroyed before its engine"]


@pytest.mark.parametrize(
    ("changed", "why"), [({"version": "10.7.0"}, "not compatible"), ({"compute": [7, 2]}, "incompatible device")]
)
def test_an_engine_of_another_version_or_device_is_rejected(bench: Bench, changed: dict[str, Any], why: str) -> None:
    plan = Plan(**vars(bench.plan) | changed).write()
    assert bench.runtime.deserialize_cuda_engine(plan) is None
    assert bench.runtime.deserialize_cuda_engine(plan[5:]) is None
    assert why in bench.logged[0]


@pytest.mark.parametrize(("version", "flags"), [("8.6.1", 0), ("11.4.0.106", 1)])
def test_a_missing_or_unknown_network_flag_is_rejected(version: str, flags: int) -> None:
    bench = Bench(version)
    with pytest.raises(RuleBroken):
        bench.tensorrt.Builder(bench.log).create_network(flags)


def test_a_dynamic_network_needs_a_profile(bench: Bench) -> None:
    builder = bench.tensorrt.Builder(bench.log)
    network = builder.create_network(1)
    assert bench.tensorrt.OnnxParser(network, bench.log).parse(colours())
    assert builder.build_serialized_network(network, builder.create_builder_config()) is None


def test_gpu_memory_is_limited(bench: Bench) -> None:
    assert bench.cuda.cudaMalloc(1 << 40) == (CudaError.cudaErrorMemoryAllocation, None)


def test_unfreed_memory_is_reported(bench: Bench) -> None:
    with pytest.raises(AssertionError, match="never freed"):
        bench.gpu.check_all_is_free()
