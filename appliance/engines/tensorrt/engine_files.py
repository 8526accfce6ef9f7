"""Which engine file runs here: one that lies in the bundle, or the one that was built on this box and kept.

Rules of this file:
- An engine fits its GPU, its version of TensorRT and its network, or it is not used: TensorRT would refuse it at best,
  and on a sister board be slow.
- A build that needs more memory than systemd gives the service ends all of it at once, and would do so again after each
  restart. So builds that were begun and never ended are counted, on disk. One that is ended by a service which stops in
  order is none of them: the service takes it back.
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

_MOST_TRIES = 3
"""A service that ends five times in a row is given up (systemd/units)."""


def find(network: Path, cache: Path | None, here: BuiltFor, *, can_build: bool) -> Path:
    """The engine file of this ONNX file that fits `here`. `cache`: where one is kept that was built on this box.

    Raises NotBuilt, with the program that builds it into the cache where that is possible.
    """
    objections = []
    for path in _candidates(network, cache, here):
        built_for = engine_file.read_header(path)
        objection = built_for.objection(here) if built_for else "does not say what it was built for"
        if objection is None:
            return path
        objections.append(f"{path.name} {objection}")
    raise not_built(
        network, cache, here, objections[0] if objections else "no engine was built for this box", can_build=can_build
    )


def not_built(network: Path, cache: Path | None, here: BuiltFor, why: str, *, can_build: bool) -> NotBuilt:
    """The error that says so, and how to mend it."""
    why = f"TensorRT cannot run {network.parent.name} yet: {why}"
    if not can_build:
        return NotBuilt(f"{why}; and what is installed has no builder. Install all of it: python3-libnvinfer", None)
    if cache is None:
        return NotBuilt(f"{why}; and one that is built here has to be kept: set engine.cache = true", None)
    target = _kept(cache, here)
    if tries(target) >= _MOST_TRIES:
        return NotBuilt(
            f"{why}; and building one ended {_MOST_TRIES} times with the whole service, perhaps for want of memory. "
            f"Remove {tries_file(target)} to try again", None,
        )  # fmt: skip
    command = ("-m", "appliance.engines.tensorrt.build", str(network), str(target), json.dumps(asdict(here)))
    return NotBuilt(why, (sys.executable, *command), tries_file(target))


def tries_file(target: Path) -> Path:
    """Where a build notes that it has begun; it goes at its end, good or bad."""
    return target.with_suffix(".tries")


def tries(target: Path) -> int:
    """Builds of this engine that nobody saw end."""
    try:
        return int(tries_file(target).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _candidates(network: Path, cache: Path | None, here: BuiltFor) -> Iterator[Path]:
    yield from sorted(network.parent.glob(f"*{SUFFIX}"))
    if cache is not None and (kept := _kept(cache, here)).exists() and cache != network.parent:
        yield kept


def _kept(cache: Path, here: BuiltFor) -> Path:
    """One for each network: what was built by a former TensorRT is replaced."""
    return cache / f"{here.network[:16]}-{here.precision}{SUFFIX}"
