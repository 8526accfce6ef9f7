"""TensorRT's Python API on the GPU of `gpu.py`. It enforces TensorRT's rules and computes with ONNX Runtime.

`names.json` lists what each version exports, as recorded from NVIDIA's bindings. Calls that TensorRT rejects return
False or None and log a line, as in TensorRT. Calls that would silently corrupt memory or results raise RuleBroken.

The rules, according to TensorRT's documentation: an engine runs only with the version and on the GPU that built it;
every tensor has an address, and every input dimension a value inside the profile; a profile is not switched while the
context has work queued, and 8.6 does not let two contexts share one; a context is used by one thread at a time, on the
stream that it was prepared on; contexts are destroyed before their engine, and engines before their runtime.
"""

from __future__ import annotations

import functools
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from tests.engines.nvidia.gpu import Gpu

NAMES: dict[str, Any] = json.loads(Path(__file__).with_name("names.json").read_text(encoding="utf-8"))
VERSIONS = [name.removeprefix("tensorrt-") for name in NAMES if name.startswith("tensorrt-")]
_MAGIC = b"recorded engine "


class Dims:
    """A sequence that is not a tuple, as in TensorRT."""

    def __init__(self, sides: Sequence[int]) -> None:
        self._sides = tuple(sides)

    def __len__(self) -> int:
        return len(self._sides)

    def __getitem__(self, index: int) -> int:
        return self._sides[index]

    def __iter__(self) -> Iterator[int]:
        return iter(self._sides)


@dataclass
class World:
    """A version of TensorRT on a GPU."""

    version: str
    gpu: Gpu
    enums: dict[str, type[IntEnum]] = field(default_factory=dict)

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])


class ILogger:
    INTERNAL_ERROR, ERROR, WARNING = range(3)

    def __init__(self) -> None:
        self._begun = True

    def log(self, severity: int, msg: str) -> None:
        raise NotImplementedError


def log_error(logger: ILogger, msg: str) -> None:
    assert logger._begun, "ILogger.__init__ was not called"
    logger.log(logger.ERROR, msg)


class Runtime:
    def __init__(self, world: World, logger: ILogger) -> None:
        self.world, self.logger = world, logger
        self.engines: list[Plan] = []

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        plan = Plan.read(serialized_engine)
        if plan is None:
            log_error(self.logger, "Magic tag does not match")
        elif plan.version != self.world.version:
            log_error(self.logger, "The engine plan file is not compatible with this version of TensorRT")
        elif plan.compute != list(self.world.gpu.compute):
            log_error(self.logger, "The engine plan file is generated on an incompatible device")
        else:
            return ICudaEngine(self, plan)
        return None

    def __del__(self) -> None:
        if self.engines:
            self.world.gpu.broken.append("runtime destroyed before its engine")


@dataclass
class Plan:
    """A serialised engine: what it was built for, and the network itself."""

    version: str
    compute: list[int]
    profiles: list[list[list[int]]]
    flags: list[str]
    network: bytes = b""

    def write(self) -> bytes:
        head = {key: value for key, value in vars(self).items() if key != "network"}
        return _MAGIC + json.dumps(head).encode() + b"\0" + self.network

    @classmethod
    def read(cls, data: bytes) -> Plan | None:
        head, _, network = data.removeprefix(_MAGIC).partition(b"\0")
        return cls(**json.loads(head), network=network) if data.startswith(_MAGIC) and network else None


@functools.cache
def session(network: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])


def sides(shape: Sequence[object]) -> list[int]:
    return [side if isinstance(side, int) else -1 for side in shape]


class ICudaEngine:
    def __init__(self, runtime: Runtime, plan: Plan) -> None:
        self.runtime_world, self.logger, self.plan = runtime.world, runtime.logger, plan
        self._among = runtime.engines  # not the runtime itself, which this must not keep alive
        self._among.append(plan)
        self.contexts: list[dict[str, int]] = []
        self.profiles_in_use: list[int] = []
        self._inputs = {one.name: one for one in session(plan.network).get_inputs()}
        self._outputs = {one.name: one for one in session(plan.network).get_outputs()}

    def __del__(self) -> None:
        if self.contexts:
            self.runtime_world.gpu.broken.append("engine destroyed before its context")
        self._among.remove(self.plan)

    @property
    def num_io_tensors(self) -> int:
        return len(self._inputs) + len(self._outputs)

    @property
    def num_optimization_profiles(self) -> int:
        return max(1, len(self.plan.profiles))

    def get_tensor_name(self, index: int) -> str:
        return str([*self._inputs, *self._outputs][index])

    def get_tensor_mode(self, name: str) -> IntEnum:
        return self.runtime_world.enums["TensorIOMode"]["INPUT" if name in self._inputs else "OUTPUT"]

    def get_tensor_shape(self, name: str) -> Dims:
        return Dims(sides((self._inputs | self._outputs)[name].shape))

    def get_tensor_dtype(self, name: str) -> IntEnum:
        kind = {"tensor(float)": "FLOAT", "tensor(float16)": "HALF", "tensor(int32)": "INT32"}
        return self.runtime_world.enums["DataType"][kind[(self._inputs | self._outputs)[name].type]]

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Dims]:
        return [Dims(shape) for shape in self.plan.profiles[profile_index]]

    def create_execution_context(self) -> IExecutionContext:
        return IExecutionContext(self)


class IExecutionContext:
    def __init__(self, engine: ICudaEngine) -> None:
        self._gpu, self._logger, self._plan = engine.runtime_world.gpu, engine.logger, engine.plan
        self._shares = engine.runtime_world.major >= 10
        self._in_use = engine.profiles_in_use
        self._among = engine.contexts
        self._network = session(engine.plan.network)
        (self._image,) = self._network.get_inputs()
        self._outputs = [one.name for one in self._network.get_outputs()]
        self._busy = threading.Lock()
        self._profile: int | None = None
        self._switched: tuple[int, int] | None = None
        """The stream of the last profile switch, and the work it has to complete before another stream may be used."""
        self._shape: tuple[int, ...] | None = None if -1 in sides(self._image.shape) else tuple(self._image.shape)
        self._addresses: dict[str, int] = {}
        self._among.append(self._addresses)
        if self._shares or 0 not in self._in_use:
            self._take(0)

    def __del__(self) -> None:
        if any(work.owner is self._addresses for work in self._gpu.queued()):
            self._gpu.broken.append("context destroyed while its work is queued")
        if self._profile is not None:
            self._in_use.remove(self._profile)
        self._among[:] = [one for one in self._among if one is not self._addresses]

    def _take(self, profile: int) -> None:
        if self._profile is not None:
            self._in_use.remove(self._profile)
        self._profile = profile
        self._in_use.append(profile)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._busy.acquire(blocking=False):
            raise self._gpu.breaks("two threads use one context at the same time")
        try:
            time.sleep(0)  # lets another thread run, as with the real one
            yield
        finally:
            self._busy.release()

    def _reject(self, why: str) -> bool:
        log_error(self._logger, why)
        return False

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        with self._alone(), self._gpu.lock:
            stream = self._gpu.stream(stream_handle)
            if any(work.owner is self._addresses for work in self._gpu.queued()):
                raise self._gpu.breaks("profile switched while work of its context is queued")
            if not 0 <= profile_index < max(1, len(self._plan.profiles)):
                return self._reject(f"profile {profile_index} does not exist")
            if not self._shares and profile_index in self._in_use and profile_index != self._profile:
                return self._reject(f"profile {profile_index} is in use by another execution context")
            if profile_index != self._profile:
                self._shape = None
            self._take(profile_index)
            self._gpu.enqueue(stream, lambda: None, ())
            self._switched = int(stream), stream.put
            return True

    def set_input_shape(self, name: str, shape: Sequence[int]) -> bool:
        with self._alone():
            if name != self._image.name:
                return self._reject(f"{name} is not an input")
            if self._profile is None:
                return self._reject("no optimization profile has been set")
            if self._plan.profiles:
                smallest, _, largest = self._plan.profiles[self._profile]
                fits = all(low <= side <= high for low, side, high in zip(smallest, shape, largest, strict=True))
            else:
                fits = list(shape) == list(self._image.shape)
            if not fits:
                return self._reject(f"{tuple(shape)} does not satisfy optimization profile {self._profile}")
            self._shape = tuple(shape)
            return True

    def get_tensor_shape(self, name: str) -> Dims:
        with self._alone():
            if name == self._image.name:
                return Dims(self._shape or sides(self._image.shape))
            if self._shape is None:
                return Dims(sides(self._network.get_outputs()[self._outputs.index(name)].shape))
            return Dims(output_shapes(self._plan.network, self._shape)[name])

    def set_tensor_address(self, name: str, memory: int) -> bool:
        with self._alone():
            if name not in (self._image.name, *self._outputs):
                return self._reject(f"{name} is not a tensor of this engine")
            self._addresses[name] = memory
            return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        with self._alone(), self._gpu.lock:
            stream, gpu = self._gpu.stream(stream_handle), self._gpu
            if gpu.refuses_frames:
                gpu.refuses_frames -= 1
                return self._reject("Cuda Runtime (an illegal memory access was encountered)")
            if self._shape is None:
                return self._reject(f"the shape of {self._image.name} has not been set")
            missing = [name for name in (self._image.name, *self._outputs) if name not in self._addresses]
            if missing:
                return self._reject(f"the address of {missing[0]} has not been set")
            others = [work for one in gpu.streams.values() if one is not stream for work in one.queued]
            if any(work.owner is self._addresses for work in others):
                raise gpu.breaks("one context used in two streams at the same time")
            if self._switched is not None and self._switched[0] != int(stream):
                switched = gpu.streams.get(self._switched[0])
                if switched is not None and switched.done < self._switched[1]:
                    raise gpu.breaks("frame queued before the profile switch in another stream is complete")
            shapes = output_shapes(self._plan.network, self._shape)
            picture = gpu.at(gpu.device, self._addresses[self._image.name], int(np.prod(self._shape)) * 4)
            outputs = [
                gpu.at(gpu.device, self._addresses[name], int(np.prod(shapes[name])) * 4) for name in self._outputs
            ]
            do = functools.partial(compute, self._network, self._image.name, picture, self._shape, outputs)
            gpu.enqueue(stream, do, self._addresses.values(), self._addresses)
            return True


@functools.cache
def output_shapes(network: bytes, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    one = session(network)
    found = one.run(None, {one.get_inputs()[0].name: np.zeros(shape, np.float32)})
    return {info.name: output.shape for info, output in zip(one.get_outputs(), found, strict=True)}


def compute(
    network: Any, name: str, picture: NDArray[np.uint8], shape: tuple[int, ...], outputs: list[NDArray[np.uint8]]
) -> None:
    for into, found in zip(outputs, network.run(None, {name: picture.view(np.float32).reshape(shape)}), strict=True):
        into[:] = np.ascontiguousarray(found).view(np.uint8).reshape(-1)


class INetworkDefinition:
    def __init__(self) -> None:
        self.network = b""

    @property
    def num_inputs(self) -> int:
        return len(session(self.network).get_inputs())

    def get_input(self, index: int) -> ITensor:
        return ITensor(session(self.network).get_inputs()[index])


class ITensor:
    def __init__(self, info: Any) -> None:
        self.name: str = info.name
        self.shape = Dims(sides(info.shape))


class OnnxParser:
    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        self._network = network
        self._errors: list[str] = []

    def parse(self, model: bytes, path: str | None = None) -> bool:
        try:
            session(model)
        except Exception as error:  # noqa: BLE001  # ONNX Runtime's errors have no common base class
            self._errors.append(f"In node -1 (importModel): {error}")
            return False
        self._network.network = model
        return True

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> str:
        return self._errors[index]


class IOptimizationProfile:
    def __init__(self) -> None:
        self.shapes: list[list[int]] = []

    def set_shape(self, input: str, min: Sequence[int], opt: Sequence[int], max: Sequence[int]) -> None:
        self.shapes = [list(min), list(opt), list(max)]


class IBuilderConfig:
    def __init__(self) -> None:
        self.profiles: list[IOptimizationProfile] = []
        self.flags: list[IntEnum] = []

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def set_flag(self, flag: IntEnum) -> None:
        self.flags.append(flag)

    def set_memory_pool_limit(self, pool: IntEnum, pool_size: int) -> None:
        assert pool.name == "WORKSPACE"


class Builder:
    def __init__(self, world: World, logger: ILogger) -> None:
        self._world, self._logger = world, logger

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        explicit = getattr(self._world.enums["NetworkDefinitionCreationFlag"], "EXPLICIT_BATCH", None)
        if self._world.major < 10 and explicit is not None and not flags & 1 << explicit:
            raise self._world.gpu.breaks("TensorRT 8.6 parses ONNX only into a network with EXPLICIT_BATCH")
        if explicit is None and flags:
            raise self._world.gpu.breaks("unknown network creation flag in this version")
        return INetworkDefinition()

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig()

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> bytes | None:
        shape = network.get_input(0).shape
        profiles = [profile.shapes for profile in config.profiles]
        if -1 in tuple(shape) and not profiles:
            log_error(
                self._logger, "Network has dynamic or shape inputs, but no optimization profile has been defined."
            )
            return None
        if any(not low <= best <= high for one in profiles for low, best, high in zip(*one, strict=True)):
            log_error(self._logger, "optimization profile is missing values, or is not min <= opt <= max")
            return None
        flags = [flag.name for flag in config.flags]
        compute = list(self._world.gpu.compute)
        return Plan(self._world.version, compute, profiles, flags, network.network).write()


CLASSES: dict[str, Callable[..., Any]] = {
    "ILogger": ILogger, "Runtime": Runtime, "ICudaEngine": ICudaEngine, "IExecutionContext": IExecutionContext,
    "Builder": Builder, "IBuilderConfig": IBuilderConfig, "IOptimizationProfile": IOptimizationProfile,
    "INetworkDefinition": INetworkDefinition, "ITensor": ITensor, "OnnxParser": OnnxParser,
}  # fmt: skip


def tensorrt_module(version: str, gpu: Gpu, *, lean: bool = False) -> ModuleType:
    """The module for `import tensorrt` in this version. `lean`: without its builder."""
    recorded = NAMES[f"tensorrt-{version}"]
    enums: dict[str, Any] = {name: IntEnum(name, members, start=0) for name, members in recorded["enums"].items()}
    world = World(recorded["version"], gpu, enums)
    module = ModuleType("tensorrt")
    module.__version__ = recorded["version"]  # type: ignore[attr-defined]
    for name, one in {**CLASSES, **enums}.items():
        if lean and name in ("Builder", "OnnxParser", "INetworkDefinition", "IBuilderConfig"):
            continue
        setattr(module, name, functools.partial(one, world) if name in ("Runtime", "Builder") else one)
    return module


def engine_bytes(network: bytes, gpu: Gpu, version: str, profiles: list[list[list[int]]]) -> bytes:
    """A serialised engine for this GPU and version."""
    return Plan(NAMES[f"tensorrt-{version}"]["version"], list(gpu.compute), profiles, [], network).write()
