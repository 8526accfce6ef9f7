"""Selects the engine file to run: one in the bundle, or one that was built on this device.

Rules of this file:
- An engine is used only with the GPU, TensorRT version and network it was built for. Otherwise TensorRT refuses it at
  best; on a similar board it would run slowly.
- A build that exceeds the memory limit of the systemd unit takes the whole service down, and would do so again after
  every restart. Builds that started and never ended are therefore counted on disk. A build that is stopped by an
  orderly shutdown does not count: the service removes it from the count.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from appliance.errors import NotBuilt
from appliance.models import engine_file
from appliance.models.engine_file import SUFFIX, BuiltFor

_MAX_TRIES = 3
"""systemd gives up on the service after five failures in a row (systemd/units)."""


def find(network: Path, cache: Path | None, here: BuiltFor, *, can_build: bool) -> Path:
    """The engine file for this network that fits `here`. `cache`: the folder of engines built on this device.

    Raises NotBuilt, with the command that builds the engine where that is possible.
    """
    objections = []
    for path in _candidates(network, cache, here):
        built_for = engine_file.read_header(path)
        objection = built_for.objection(here) if built_for else "has no readable header"
        if objection is None:
            return path
        objections.append(f"{path.name} {objection}")
    raise not_built(
        network,
        cache,
        here,
        objections[0] if objections else "no engine was built for this device",
        can_build=can_build,
    )


def not_built(network: Path, cache: Path | None, here: BuiltFor, why: str, *, can_build: bool) -> NotBuilt:
    """The error for a missing engine, with the reason and the next action."""
    why = f"TensorRT cannot run {network.parent.name} yet: {why}"
    if not can_build:
        return NotBuilt(f"{why}. The installed TensorRT has no builder; install python3-libnvinfer", None)
    if cache is None:
        return NotBuilt(f"{why}. Set engine.cache = true to build one on this device", None)
    target = _cached(cache, here)
    if tries(target) >= _MAX_TRIES:
        return NotBuilt(
            f"{why}. Building one stopped the whole service {_MAX_TRIES} times, possibly because memory ran out. "
            f"Remove {tries_file(target)} to try again", None,
        )  # fmt: skip
    command = ("-m", "appliance.engines.tensorrt.build", str(network), str(target), json.dumps(asdict(here)))
    return NotBuilt(why, (sys.executable, *command), tries_file(target))


def tries_file(target: Path) -> Path:
    """The file in which a build counts its attempts; removed when the build ends, successful or not."""
    return target.with_suffix(".tries")


def tries(target: Path) -> int:
    """Builds of this engine that started and never ended."""
    try:
        return int(tries_file(target).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _candidates(network: Path, cache: Path | None, here: BuiltFor) -> Iterator[Path]:
    yield from sorted(network.parent.glob(f"*{SUFFIX}"))
    if cache is not None and (cached := _cached(cache, here)).exists() and cache != network.parent:
        yield cached


def _cached(cache: Path, here: BuiltFor) -> Path:
    """One file for each network and precision, so that an engine of an earlier TensorRT is replaced."""
    return cache / f"{here.network[:16]}-{here.precision}{SUFFIX}"
