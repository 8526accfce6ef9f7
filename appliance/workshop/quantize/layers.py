"""Search for the layers that must stay in floating point, by trial and not by name.

Operations form groups, in execution order: one for each top-level block (/model.10), for its attention, and for each
branch of the head, where a small error moves boxes. If the quantized network loses too much accuracy, the last
arithmetic of the head returns to floating point first: it is cheap, and has pixels and confidences in one tensor. While
that does not suffice, the quantized groups are divided into thirds. The third whose return to floating point brings the
network closest to the original is divided again, until one group remains. With 30 groups that takes about eleven trials
instead of thirty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

_PLACE = re.compile(r"\bmodel\.(\d+)(?:[./]((?:one2one_)?cv\d+\.\d+|dfl)\b)?")
_ATTENTION = re.compile(r"\battn/(?:aten::\w+/)?[^./]+$")
"""The matrix products of an attention block, not the convolutions around them."""
_WITH_WEIGHTS = {"Convolution", "GroupConvolution", "MatMul", "ConvolutionBackpropData"}
_OUTPUT = "/output"
"""The end of the name of the group with the last arithmetic of the head."""
_ROUNDS = 5
"""The most groups returned to floating point one by one; a network that needs more is unsuitable for INT8."""


@dataclass(frozen=True, slots=True)
class LayerGroup:
    """Operations that are quantized together or not at all."""

    name: str
    operations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QuantizationTrial:
    """A quantized network with some groups in floating point, and its closeness to the original, 0-1."""

    network: Path
    floating: tuple[LayerGroup, ...]
    closeness: float
    drop: float | None = None
    """The loss of accuracy in points; None: not measured."""


def groups(operations: Sequence[tuple[str, str]]) -> list[LayerGroup]:
    """Group the operations, (name, type) in order. One without a block in its name joins the previous group."""
    head = head_of(name for name, _ in operations)
    members: dict[str, list[tuple[str, str]]] = {}
    current = "input"
    for name, kind in operations:
        current = group_of(name, head) or current
        if kind not in ("Constant", "Parameter", "Result"):
            members.setdefault(current, []).append((name, kind))
    return [
        LayerGroup(group, tuple(name for name, _ in found))
        for group, found in members.items()
        if group.startswith(f"/model.{head}/") or any(kind in _WITH_WEIGHTS for _, kind in found)
    ]


def head_of(operations: Iterable[str]) -> int | None:
    """The number of the last block, which contains the head."""
    return max((int(found[1]) for name in operations if (found := _PLACE.search(name))), default=None)


def group_of(operation: str, head: int | None) -> str | None:
    """The group of an operation, by its name."""
    found = _PLACE.search(operation)
    if found is None:
        return None
    if _ATTENTION.search(operation):
        return f"/model.{found[1]}/attention"
    return f"/model.{found[1]}" + (f"/{found[2]}" if found[2] else _OUTPUT if int(found[1]) == head else "")


def names(floating: Iterable[LayerGroup]) -> list[str]:
    """The operations of these groups."""
    return [name for group in floating for name in group.operations]


def search(
    candidates: Sequence[LayerGroup],
    complete: QuantizationTrial,
    attempt: Callable[[tuple[LayerGroup, ...]], QuantizationTrial],
    judge: Callable[[QuantizationTrial], QuantizationTrial],
    max_drop: float,
) -> QuantizationTrial:
    """The first trial that loses at most `max_drop` points, or else the best one.

    `complete`: the trial with all groups quantized. `attempt` quantizes all but some groups and measures the
    closeness; `judge` measures the loss of accuracy.
    """
    best = current = judge(complete)
    output = tuple(group for group in candidates if group.name.endswith(_OUTPUT))
    if output and _drop(best) > max_drop and (tried := attempt(output)).closeness > current.closeness:
        current = judge(tried)
        best = min(best, current, key=_drop)
    for _ in range(_ROUNDS):
        if _drop(best) <= max_drop:
            break
        left = [group for group in candidates if group not in current.floating]
        if not left:
            break
        current = judge(_closest(left, current, attempt))
        best = min(best, current, key=_drop)
    return best


def _closest(
    left: list[LayerGroup], current: QuantizationTrial, attempt: Callable[[tuple[LayerGroup, ...]], QuantizationTrial]
) -> QuantizationTrial:
    """The trial with one more group in floating point, the one that helps most."""
    while True:
        trials = [(part, attempt((*current.floating, *part))) for part in _thirds(left)]
        left, best = max(trials, key=lambda tried: tried[1].closeness)
        if len(left) == 1:
            return best


def _thirds(left: list[LayerGroup]) -> list[list[LayerGroup]]:
    count = min(3, len(left))
    edges = [len(left) * number // count for number in range(count + 1)]
    return [left[a:b] for a, b in pairwise(edges)]


def _drop(trial: QuantizationTrial) -> float:
    return float("inf") if trial.drop is None else trial.drop
