"""A program that builds a TensorRT engine of an ONNX file for this very box: `python -m` it with NETWORK TARGET
HEADER.

It runs in a process of its own: building takes minutes and a gigabyte, which a service gets back only so. HEADER is
what the engine is built for, as JSON; TARGET appears whole or not at all. What went wrong is its last line, its status
1.
"""

from __future__ import annotations

import contextlib
import json
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

_LEAST_SIDE = 32
_WORKSPACE_BYTES = 1 << 30
"""For one layer's trial, at the most. A nano network asks for a few MB; a board of 4 GB has other work too."""
_MOST_KEPT = 4
"""Engines kept on disk, some 10 MB each for a nano network."""


def build(tensorrt: Any, network: Path, built_for: BuiltFor) -> bytes:
    """The engine. Raises EngineError."""
    log = versions.new_log(tensorrt)
    builder = tensorrt.Builder(log)
    definition = builder.create_network(versions.network_flags(tensorrt))
    parser = tensorrt.OnnxParser(definition, log)
    if not parser.parse(network.read_bytes()):
        why = [str(parser.get_error(index)) for index in range(parser.num_errors)]
        raise EngineError(f"TensorRT cannot read {network.name}: {why[0] if why else log.last_error}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(tensorrt.MemoryPoolType.WORKSPACE, _WORKSPACE_BYTES)
    versions.set_precision(tensorrt, config, built_for.precision)
    image = definition.get_input(0)
    if -1 in tuple(image.shape):
        for least, best, most in shapes(built_for.sizes):
            profile = builder.create_optimization_profile()
            profile.set_shape(image.name, least, best, most)
            config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(definition, config)
    if engine is None:
        raise EngineError(f"TensorRT cannot build {network.name}: {log.last_error}")
    return bytes(engine)


Shape = tuple[int, int, int, int]


def shapes(sizes: tuple[str, ...]) -> list[tuple[Shape, Shape, Shape]]:
    """Least, best and largest input of each profile: one for any aspect, as large as the largest size, and one for each
    size alone, for which TensorRT tunes its kernels.
    """
    sides = [tuple(int(side) for side in size.split("x")) for size in sizes] or [(640, 640)]
    longest = max(max(pair) for pair in sides)
    own = [(1, 3, height, width) for width, height in sides]
    any_size = (1, 3, _LEAST_SIDE, _LEAST_SIDE), own[0], (1, 3, longest, longest)
    return [any_size, *((shape, shape, shape) for shape in own)]


def prune(folder: Path) -> None:
    """Keep the newest engines."""
    with contextlib.suppress(OSError):
        for file in sorted(folder.glob(f"*{SUFFIX}"), key=lambda file: file.stat().st_mtime)[:-_MOST_KEPT]:
            file.unlink()


def main(network: Path, target: Path, built_for: BuiltFor) -> None:
    os.nice(10)  # cameras come first
    tensorrt = versions.load()
    Cuda()  # says it better than TensorRT, which ends the process where there is no driver
    target.parent.mkdir(parents=True, exist_ok=True)
    begun = engine_files.tries_file(target)
    files.write(begun, str(engine_files.tries(target) + 1).encode())
    try:
        engine_file.write(target, built_for, build(tensorrt, network, built_for))
    finally:
        begun.unlink(missing_ok=True)
    prune(target.parent)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]), BuiltFor.of(json.loads(sys.argv[3])))
    except (EngineError, OSError) as error:
        sys.exit(str(error))
