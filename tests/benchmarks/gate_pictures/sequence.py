"""A sequence of pictures of one camera."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.benchmarks.gate_pictures.cutout import Pixels


@dataclass(frozen=True, slots=True)
class Sequence:
    """Pictures of one camera. `group`: the heading for its results. `quality`: of their JPEG."""

    group: str
    name: str
    fps: float
    show: Callable[[], Iterator[Pixels]]
    """Its pictures, the same in each call."""
    quality: int = 80
