"""Choose among what was measured: a pure function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LEAST_GAIN = 0.05
"""A smaller gain is within the error of the measurement, and not worth a change."""
LEAST_AGREEMENT = 90.0
"""Percent of the boxes that have to be the same. A guess, well below what the accuracy check accepts: a lower value
means that something else is wrong."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model on an engine. `cpu_ms`: CPU time of a frame. `agreement`: with the float model, %; None: not compared."""

    engine: str
    model: str
    cpu_ms: float
    fps: float
    agreement: float | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The best candidate, and why, as the rest of a sentence after its name."""

    best: Candidate
    why: str


def choose(candidates: Sequence[Candidate], engine: str, model: str) -> Choice | None:
    """The candidate with the lowest CPU time of a frame, unless the one in use (`engine`, `model`) is about as good.

    CPU time, because other load on the device affects it least. None: there are no candidates to choose from.
    """
    usable = [one for one in candidates if one.agreement is None or one.agreement >= LEAST_AGREEMENT]
    if not usable:
        return None
    best = min(usable, key=lambda one: (one.cpu_ms, one.engine, one.model))
    used = next((one for one in usable if (one.engine, one.model) == (engine, model)), None)
    if used is None:
        return Choice(best, f"takes {best.cpu_ms:.1f} ms of CPU time a frame, the least of those that were measured")
    if best is used:
        return Choice(used, f"takes the least CPU time a frame, {used.cpu_ms:.1f} ms")
    if best.cpu_ms > used.cpu_ms * (1 - LEAST_GAIN):
        return Choice(used, f"takes {used.cpu_ms:.1f} ms of CPU time a frame; nothing else is 5 % faster")
    return Choice(best, f"takes {best.cpu_ms:.1f} ms of CPU time a frame instead of {used.cpu_ms:.1f}")
