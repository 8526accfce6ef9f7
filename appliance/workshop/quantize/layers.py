"""Which layers stay in floating point: found by trying, never by name.

Operations are taken in groups, in the order in which they run: one for each top-level block (/model.10), for its
attention, and for each branch of the head, where a small error moves boxes. While the quantised network loses too much,
the groups left in it are parted in three; the third whose return to floating point brings it closest to the original is
parted again, until one group is left. With 30 groups that is about eleven trials instead of thirty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

_PLACE = re.compile(r"\bmodel\.(\d+)(?:[./]((?:one2one_)?cv\d+\.\d+|dfl)\b)?")
_ATTENTION = re.compile(r"\battn/(?:aten::\w+/)?[^./]+$")
"""The products of an attention block, not the convolutions around them."""
_WEIGHED = {"Convolution", "GroupConvolution", "MatMul", "ConvolutionBackpropData"}
_ROUNDS = 5
"""Groups given back before it is given up: a network that needs more is no INT8 network."""


@dataclass(frozen=True, slots=True)
class Group:
    """Operations that are quantised together, or not at all."""

    name: str
    operations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """A network with some groups in floating point: how close it is to the original (0-1), and what it loses."""

    network: Path
    floating: tuple[Group, ...]
    closeness: float
    drop: float | None = None
    """Points of accuracy; None: not measured."""


def groups(operations: Sequence[tuple[str, str]]) -> list[Group]:
    """The operations, (name, type) in order, as groups. One whose name tells nothing goes with the one before it."""
    head = head_of(name for name, _ in operations)
    members: dict[str, list[tuple[str, str]]] = {}
    current = "input"
    for name, kind in operations:
        current = group_of(name, head) or current
        if kind not in ("Constant", "Parameter", "Result"):
            members.setdefault(current, []).append((name, kind))
    return [
        Group(group, tuple(name for name, _ in found))
        for group, found in members.items()
        if group.startswith(f"/model.{head}/") or any(kind in _WEIGHED for _, kind in found)
    ]


def head_of(operations: Iterable[str]) -> int | None:
    """The number of the last block, which holds the head."""
    return max((int(found[1]) for name in operations if (found := _PLACE.search(name))), default=None)


def group_of(operation: str, head: int | None) -> str | None:
    """The name of the group that an operation's name puts it into."""
    found = _PLACE.search(operation)
    if found is None:
        return None
    if _ATTENTION.search(operation):
        return f"/model.{found[1]}/attention"
    return f"/model.{found[1]}" + (f"/{found[2] or 'output'}" if int(found[1]) == head else "")


def names(floating: Iterable[Group]) -> list[str]:
    """The operations of these groups."""
    return [name for group in floating for name in group.operations]


def search(
    candidates: Sequence[Group],
    attempt: Callable[[tuple[Group, ...]], Trial],
    judge: Callable[[Trial], Trial],
    max_drop: float,
) -> Trial:
    """The first trial that loses no more than `max_drop` points, or the best there was.

    `attempt` quantises all but some groups and sees how close that is; `judge` measures what it loses.
    """
    best = current = judge(attempt(()))
    for _ in range(_ROUNDS):
        if _drop(best) <= max_drop:
            break
        left = [group for group in candidates if group not in current.floating]
        if not left:
            break
        current = judge(_closest(left, current, attempt))
        best = min(best, current, key=_drop)
    return best


def _closest(left: list[Group], current: Trial, attempt: Callable[[tuple[Group, ...]], Trial]) -> Trial:
    """The trial with the one group more that brings most."""
    while True:
        trials = [(part, attempt((*current.floating, *part))) for part in _thirds(left)]
        left, best = max(trials, key=lambda tried: tried[1].closeness)
        if len(left) == 1:
            return best


def _thirds(left: list[Group]) -> list[list[Group]]:
    count = min(3, len(left))
    edges = [len(left) * number // count for number in range(count + 1)]
    return [left[a:b] for a, b in pairwise(edges)]


def _drop(trial: Trial) -> float:
    return float("inf") if trial.drop is None else trial.drop
