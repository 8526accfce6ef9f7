"""Build a TensorRT engine for this device: `python -m appliance.engines.tensorrt.build NETWORK TARGET HEADER`.

This runs as a separate process because building takes minutes and a gigabyte of memory, which only the end of a process
returns. NETWORK is an ONNX file. HEADER is what the engine is built for, as JSON. TARGET is written atomically. On
failure the exit status is 1 and the last line of the output is the reason.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

from appliance import files
from appliance.engines.tensorrt import engine_files, versions
from appliance.engines.tensorrt.cuda import Cuda
from appliance.errors import EngineError
from appliance.models import engine_file
from appliance.models.engine_file import SUFFIX, BuiltFor

_MIN_SIDE = 32
_WORKSPACE_BYTES = 1 << 30
"""Limit for one layer's tactics. A nano network needs a few MB, and a board with 4 GB has other work too."""
_MAX_ENGINES = 4
"""Engines kept on disk, about 10 MB each for a nano network."""


def build(tensorrt: Any, network: Path, built_for: BuiltFor) -> bytes:
    """Build the engine and return it serialised. Raises EngineError."""
    log = versions.new_log(tensorrt)
    builder = tensorrt.Builder(log)
    definition = builder.create_network(versions.network_flags(tensorrt))
    parser = tensorrt.OnnxParser(definition, log)
    if not parser.parse(network.read_bytes()):
        errors = [str(parser.get_error(index)) for index in range(parser.num_errors)]
        raise EngineError(f"TensorRT cannot read {network.name}: {errors[0] if errors else log.last_error}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(tensorrt.MemoryPoolType.WORKSPACE, _WORKSPACE_BYTES)
    versions.set_precision(tensorrt, config, built_for.precision)
    image = definition.get_input(0)
    if -1 in tuple(image.shape):
        for smallest, best, largest in shapes(built_for.sizes):
            profile = builder.create_optimization_profile()
            profile.set_shape(image.name, smallest, best, largest)
            config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(definition, config)
    if engine is None:
        raise EngineError(f"TensorRT cannot build {network.name}: {log.last_error}")
    return bytes(engine)


Shape = tuple[int, int, int, int]


def shapes(sizes: tuple[str, ...]) -> list[tuple[Shape, Shape, Shape]]:
    """The smallest, best and largest input shape of each profile.

    One profile takes any aspect ratio up to the largest size. The others take one size each, and TensorRT tunes its
    kernels for it.
    """
    sides = [tuple(int(side) for side in size.split("x")) for size in sizes] or [(640, 640)]
    longest = max(max(pair) for pair in sides)
    own = [(1, 3, height, width) for width, height in sides]
    any_size = (1, 3, _MIN_SIDE, _MIN_SIDE), own[0], (1, 3, longest, longest)
    return [any_size, *((shape, shape, shape) for shape in own)]


def prune(folder: Path) -> None:
    """Remove all but the newest engines."""
    with contextlib.suppress(OSError):
        for file in sorted(folder.glob(f"*{SUFFIX}"), key=lambda file: file.stat().st_mtime)[:-_MAX_ENGINES]:
            file.unlink()


def main(network: Path, target: Path, built_for: BuiltFor) -> None:
    os.nice(10)  # frames have priority
    tensorrt = versions.load()
    Cuda()  # without a driver this raises an error, whereas TensorRT ends the process
    target.parent.mkdir(parents=True, exist_ok=True)
    tries_file = engine_files.tries_file(target)
    files.write(tries_file, str(engine_files.tries(target) + 1).encode())
    try:
        engine_file.write(target, built_for, build(tensorrt, network, built_for))
    finally:
        tries_file.unlink(missing_ok=True)
    prune(target.parent)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]), BuiltFor.of(sys.argv[3]))
    except (EngineError, OSError) as error:
        sys.exit(str(error))
