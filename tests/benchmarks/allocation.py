"""Engine time shared by what the cameras show, compared with even shares and with an offline oracle.

Four unlike cameras at 5 frames a second share half of what they need. A camera's share pays for frames at one of two
input sizes; each answer stands until the next. F1 is against inference of every frame at full size, in windows of ten
seconds, mean of the windows and the cameras; a window without any detection counts 1. The first window is not counted,
because nothing is known in it.

- Even shares: the same share and size for all; the size that is better in hindsight.
- The oracle knows the clips, and chooses the best shares and sizes in each window.
- By worth: the same choice, with an F1 that is estimated from the answers that the cameras have got so far. It chooses
  in each window, more often than a device may change the limits of its cameras. In each it infers one frame at both
  sizes, and pays for that.
- The scene gate with even shares: what a gated camera leaves goes to all of them, at full size.

No constant of the estimate was tuned on these clips. The network's answers are kept on disk.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from appliance.service.loading import load_network
from appliance.settings import loader
from appliance.settings.schema.flow import FlowSettings
from appliance.values import ModelInfo
from tests.benchmarks import gate
from tests.benchmarks.allocation_clips import (
    FPS,
    FRAMES,
    SMALL_SIDE,
    WHOLE_SIDE,
    WINDOW,
    CameraClip,
    agreement,
    f1,
    sets,
)
from tests.benchmarks.report import Row

SEEDS, DRAWN_SEED = (13, 15, 17), 13
COSTS = {WHOLE_SIDE: 100, SMALL_SIDE: 28}
"""Of inferring every frame at a side, in hundredths of full inference: `governor/ladder.py`."""
SHARES = (5, 8, 12, 18, 28, 38, 50, 62, 75, 88, 100)
BUDGET, EVEN, PROBES = 4 * 50, SHARES.index(50), 4 * 2
SIDES = tuple(COSTS)
WINDOWS = range(1, FRAMES // WINDOW)
_STEADY, _LEAST_AGING = 0.98, 0.005
"""F1 of answers to two frames between which nothing moves, and what may change at any time."""
_LATEST = 0.5
"""Weight of the latest window in what is known of a camera."""
Table: TypeAlias = NDArray[np.float64]
"""F1 of one camera in one window, (sides, shares)."""
Plan: TypeAlias = list[tuple[int, int]]
"""For each camera: which side and which share."""


def run(_: Path) -> list[Row]:
    settings = loader.load(None, {}, {"profile": "realtime"})
    network = load_network(settings)
    try:
        results = [
            _compare(network.info, settings.flow, name, clips) for name, clips in sets(network, SEEDS, DRAWN_SEED)
        ]
    finally:
        network.engine.close()
    return list(_rows(results))


@dataclass(frozen=True, slots=True)
class Shared:
    """F1 of the four cameras of one set: mean of cameras and windows, and of all their detections pooled."""

    name: str
    mean: dict[str, float]
    pooled: dict[str, float]
    changes_per_hour: float
    """How often by worth changes the limits of a camera."""


def _compare(model: ModelInfo, flow: FlowSettings, name: str, clips: Sequence[CameraClip]) -> Shared:
    truth = [[_counted(clip, window) for window in range(FRAMES // WINDOW)] for clip in clips]
    tables = [[_f1(counts) for counts in windows] for windows in truth]
    plans: dict[str, dict[int, Plan]] = {
        f"even at {side}": {window: [(number, EVEN)] * len(clips) for window in WINDOWS}
        for number, side in enumerate(SIDES)
    }
    plans["oracle"] = {window: _best([table[window] for table in tables], BUDGET) for window in WINDOWS}
    plans["by worth"] = _by_worth(clips)
    counts = {
        way: [truth[camera][window][which] for window, plan in chosen.items() for camera, which in enumerate(plan)]
        for way, chosen in plans.items()
    }
    counts["gated"] = _gated(model, flow, clips)
    mean = {way: statistics.fmean(map(f1, those)) for way, those in counts.items()}
    even = max((f"even at {side}" for side in SIDES), key=lambda way: mean[way])
    mean["even"], counts["even"] = mean[even], counts[even]
    changed = [a != b for before, now in pairwise(plans["by worth"].values()) for a, b in zip(before, now, strict=True)]
    shared = Shared(
        name, mean, {way: f1(np.sum(those, axis=0)) for way, those in counts.items()},
        statistics.fmean(changed) * 3600 * FPS / WINDOW,
    )  # fmt: skip
    print(f"  {name}: " + ", ".join(f"{way} {value:.3f}" for way, value in mean.items() if way != "even"), flush=True)
    return shared


def _rows(results: list[Shared]) -> Iterator[Row]:
    def row(claim: str, one: str, other: str, goal: float, extra: str = "") -> Row:
        ratios = [result.mean[one] / result.mean[other] for result in results]
        each = ", ".join(f"{result.name} {ratio:.3f}" for result, ratio in zip(results, ratios, strict=True))
        pooled = statistics.fmean(result.pooled[one] / result.pooled[other] for result in results)
        return Row(f"allocation: {claim}", statistics.fmean(ratios), goal, False, f"{each}; pooled {pooled:.3f}{extra}")

    changes = statistics.fmean(result.changes_per_hour for result in results)
    yield row("by worth / oracle", "by worth", "oracle", 0.94)
    yield row("by worth / even shares", "by worth", "even", 1.1, f"; {changes:.0f} changes a camera and hour")
    yield row("oracle / even shares", "oracle", "even", 1.1)
    yield row("even shares with the scene gate / without", "gated", "even", 1.0)
    yield row("even shares with the scene gate / by worth", "gated", "by worth", 1.0)


@functools.cache
def _sources(side: int, share: int) -> NDArray[np.int64]:
    """For each frame of a window: the frame whose answer stands, at one of SIDES and SHARES."""
    paid = np.arange(-1, WINDOW) * min(SHARES[share], COSTS[SIDES[side]]) // COSTS[SIDES[side]]
    inferred = np.diff(paid) > 0
    inferred[0] = True
    return np.maximum.accumulate(np.where(inferred, np.arange(WINDOW), 0))


def _counted(clip: CameraClip, window: int) -> NDArray[np.int64]:
    """What `f1` needs of each side and share, (sides, shares, 2)."""
    start = window * WINDOW
    return np.array([
        [
            sum(
                clip.agreement(start + number, start + int(source), side)
                for number, source in enumerate(_sources(at, share))
            )
            for share in range(len(SHARES))
        ]
        for at, side in enumerate(SIDES)
    ])  # fmt: skip


def _f1(counts: NDArray[np.int64]) -> Table:
    return np.array([[f1(share) for share in side] for side in counts])


def _best(tables: list[Table], budget: int) -> Plan:
    """The affordable sides and shares with the largest sum; of equal ones the largest shares."""
    values = [table.max(axis=0) + 1e-6 * np.array(SHARES) for table in tables]
    total = functools.reduce(np.add.outer, values)
    total[functools.reduce(np.add.outer, [np.array(SHARES)] * len(tables)) > budget] = -np.inf
    shares = np.unravel_index(total.argmax(), total.shape)
    return [(int(table[:, share].argmax()), int(share)) for table, share in zip(tables, shares, strict=True)]


# By worth.


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a camera's answers have shown: part of F1 lost with each frame of age, and F1 of the smaller size."""

    aging: float = 0.05
    detail: float = 0.75

    def f1(self) -> Table:
        found = np.empty((len(SIDES), len(SHARES)))
        for side, share in np.ndindex(found.shape):
            ages = np.arange(WINDOW) - _sources(side, share)
            found[side, share] = np.mean(np.where(ages, _STEADY * np.exp(-self.aging * ages), 1.0))
        found[SIDES.index(SMALL_SIDE)] *= self.detail
        return found

    def after(self, clip: CameraClip, window: int, side: int, share: int) -> Estimate:
        """Learn from the answers to this window at this side and share."""
        start, at = window * WINDOW, SIDES[side]
        numbers = start + np.unique(_sources(side, share))
        same = f1(np.sum([clip.agreement(b, a, at, at) for a, b in pairwise(numbers.tolist())], axis=0))
        aging = -np.log(max(0.01, same) / _STEADY) / np.diff(numbers).mean()
        detail = f1(clip.agreement(start, start, SMALL_SIDE))
        return Estimate(
            max(_LEAST_AGING, (1 - _LATEST) * self.aging + _LATEST * float(aging)),
            (1 - _LATEST) * self.detail + _LATEST * detail,
        )


def _by_worth(clips: Sequence[CameraClip]) -> dict[int, Plan]:
    estimates = [Estimate()] * len(clips)
    plan, plans = [(0, EVEN)] * len(clips), {}
    for window in range(FRAMES // WINDOW):
        if window in WINDOWS:
            plan = plans[window] = _best([one.f1() for one in estimates], BUDGET - PROBES)
        estimates = [one.after(clip, window, *which) for one, clip, which in zip(estimates, clips, plan, strict=True)]
    return plans


# The scene gate.


def _gated(model: ModelInfo, flow: FlowSettings, clips: Sequence[CameraClip]) -> list[NDArray[np.int64]]:
    """What `f1` needs of each window and camera, with the largest share for all that the gated cameras leave."""
    found = [[_gated_at(model, flow, clip, share) for share in SHARES[EVEN:]] for clip in clips]
    counts = []
    for window in WINDOWS:
        costs = [sum(of_camera[share][0][window] for of_camera in found) for share in range(len(SHARES) - EVEN)]
        share = max(number for number, cost in enumerate(costs) if cost <= BUDGET or not number)
        counts += [of_camera[share][1][window] for of_camera in found]
    return counts


def _gated_at(
    model: ModelInfo, flow: FlowSettings, clip: CameraClip, share: int
) -> tuple[list[float], list[NDArray[np.int64]]]:
    """The cost of each window, and what `f1` needs, where a camera sends this share of its frames to the gate."""
    whole = clip.recordings[WHOLE_SIDE]
    sent = np.flatnonzero(np.diff(np.arange(-1, FRAMES) * share // 100))
    part = replace(
        whole, cells=[whole.cells[number] for number in sent], answers=[whole.answers[number] for number in sent]
    )
    answers, held, _ = gate.replay(model, flow, FPS * share / 100, part)
    inferred = np.delete(sent, held)
    costs = [100 / WINDOW * float(np.sum(inferred // WINDOW == window)) for window in range(FRAMES // WINDOW)]
    stands = np.clip(np.searchsorted(sent, np.arange(FRAMES), side="right") - 1, 0, None)
    counts = [agreement(whole.answers[number], answers[at]) for number, at in enumerate(stands)]
    return costs, [np.sum(counts[window * WINDOW :][:WINDOW], axis=0) for window in range(FRAMES // WINDOW)]
