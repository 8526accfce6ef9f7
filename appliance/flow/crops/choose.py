"""Decide which parts of a frame to look at: the whole picture, or crops at the camera's own detail.

Rules of this file:
- Pure functions. A cell is worth looking at when it has changed since it was last looked at, when an object was found
  there some seconds ago, or when nobody has looked for long. Changes where nothing is ever found count less.
- Crops only where they find more than they miss. How many objects only they find is measured on each camera, by running
  both on the same frame from time to time; what they miss is what moves outside of them.
- In case of doubt the whole picture: the first frame, a gap, a change of light or noise everywhere.
- On average a frame with crops costs at most `Costs.budget` of one without.

The constants were chosen on drawn sequences; `make bench BENCH=crops` measures them on others and on a real video.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from appliance.flow.crops.knowledge import Knowledge
from appliance.values import Box, Size
from appliance.vision.picture_features import Grid

_BUDGET, _PER_MEGAPIXEL = 0.48, 0.07
"""Engine time on average, relative to the whole picture, and what each million pixels takes away: the remainder up to
0.7 is decoding at full detail."""
MOST_CROPS = 3
KEEP_S = 3.0
"""An object that was not looked at again for this long is not reported any more."""
_OVERVIEW_EVERY = 4
_AUDIT_FRAMES, _AUDIT_S, _LEAST_AUDIT = 40, 5.0, 4
"""While crops are in use: the whole picture too, after so many frames or seconds, but in every fourth at most."""
_TRY_EVERY, _SURE = 24, 24
"""While they are not: crops too in every 24th frame, and in every second until so many objects were compared."""
_REST = 6
"""Frames that run as a whole without a decision, once it is known that crops would miss too much."""
_REVISIT_S, _EXPLORE_S, _WAIT_S = 2.0, 10.0, 1.0
_MOST_CREDIT = 1.5
SOON_S = 0.4
"""What the crops of the next frames cover within this time counts as covered, unless objects move too fast for it."""
_BARREN = 0.7
_EXPLORE_VALUE = 0.02
_LEAST_VALUE = 0.5
_LEAST_MASS = 2.0
_EVERYWHERE = 0.6
"""With a change in more than this part of the picture, it is another scene."""
_HOPELESS = 0.3
"""With a smaller share of objects that only crops find, frames rest."""
_CHANGED = 0.3


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle in the picture's pixels."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Costs:
    """Input sizes of one camera. `part`: cost of an overview or a crop, relative to the whole picture, 0-1."""

    picture: Size
    crop: Size
    part: float

    @property
    def budget(self) -> float:
        """Engine time of a frame on average, relative to the whole picture, 0-1."""
        return max(self.part, _BUDGET - _PER_MEGAPIXEL * self.picture.width * self.picture.height / 1e6)


@dataclass(frozen=True, slots=True)
class LookPlan:
    """What to look at in one frame, and the knowledge that this decision changes."""

    whole: bool
    overview: bool
    crops: tuple[Region, ...]
    before: Knowledge


def choose(before: Knowledge, changed: Grid, now_s: float, costs: Costs, *, audits: bool = True) -> LookPlan:
    """Decide what to look at in a frame.

    `changed`: 0-1 for each cell. `audits`: whether a frame may cost more than the whole picture alone.
    """
    age_s = np.asarray(now_s - before.seen_s, np.float32)
    if now_s - before.at_s > KEEP_S:
        return _whole(before, (), costs)
    if float(np.count_nonzero(changed > _CHANGED)) > _EVERYWHERE * changed.size:  # another scene: nothing known applies
        return _whole(replace(before, known=()), (), costs)
    moving = np.asarray(np.where(changed > _CHANGED, changed * (1 - _BARREN * before.barren), 0), np.float32)
    value = _value(before, changed, age_s, now_s, costs.picture)
    regions = best_regions(value, costs)
    rounds = 1 if before.evidence.restless else max(1, int(SOON_S / max(now_s - before.at_s, 0.01) + 1e-6))
    inside = _covered(regions[: rounds * _affordable(before, costs)], moving.shape, costs.picture)
    objects = _of_objects(before, moving.shape, costs.picture)
    gained, missed = float(moving[inside].sum()), float(moving[~inside & objects].sum())
    share = before.evidence.share
    if missed > _LEAST_MASS and gained * share < missed * (1 - share):
        sure = before.evidence.counted >= _SURE
        tried = regions if audits and before.wholes % (_TRY_EVERY if sure else 2) == 0 else ()
        rest = _REST if sure and share < _HOPELESS and not tried else 0
        return _whole(replace(before, wholes=before.wholes + 1, credit=0.0, rest=rest), tried, costs)
    frames, seconds = before.since_whole, now_s - before.whole_s
    if frames >= _AUDIT_FRAMES or (seconds >= _AUDIT_S and frames >= _LEAST_AUDIT):
        return _whole(before, regions if audits else (), costs)
    return _crops(before, regions, costs)


def _affordable(before: Knowledge, costs: Costs) -> int:
    """How many crops the budget allows now, next to an overview where it is due."""
    overview = before.since_overview >= _OVERVIEW_EVERY - 1
    left = min(before.credit + costs.budget, _MOST_CREDIT) - (costs.part if overview else 0.0)
    return max(0 if overview else 1, int(left / costs.part + 1e-9))


def _whole(before: Knowledge, tried: tuple[Region, ...], costs: Costs) -> LookPlan:
    credit = max(-_MOST_CREDIT, before.credit - 1 - costs.part * len(tried) + costs.budget)
    return LookPlan(True, False, tried, replace(before, credit=credit, since_overview=0, since_whole=0))


def _crops(before: Knowledge, regions: tuple[Region, ...], costs: Costs) -> LookPlan:
    """Spend the budget: an overview when it is due, then crops, at least one look in all."""
    overview = before.since_overview >= _OVERVIEW_EVERY - 1
    taken = regions[: _affordable(before, costs)]
    spent = costs.part * (len(taken) + overview)
    credit = max(-_MOST_CREDIT, min(before.credit + costs.budget, _MOST_CREDIT) - spent)
    after = replace(
        before,
        credit=credit,
        since_overview=0 if overview else before.since_overview + 1,
        since_whole=before.since_whole + 1,
    )
    return LookPlan(False, overview, taken, after)


def _value(before: Knowledge, changed: Grid, age_s: Grid, now_s: float, picture: Size) -> Grid:
    """What looking at each cell is worth."""
    recent = np.minimum(age_s, 2 * _EXPLORE_S)
    value = changed * np.minimum(1, 0.2 + recent / _WAIT_S) * (1 - _BARREN * before.barren)
    for known in before.known:
        overdue_s = now_s - known.seen_s - _REVISIT_S
        if overdue_s <= 0:
            continue
        cells = cells_under(known.detection.box_px, changed.shape, picture)
        count = max(1, value[cells].size)
        value[cells] = np.maximum(value[cells], min(1.0, 6 / count) * min(1.0, (overdue_s + _REVISIT_S) / 6))
    value += _EXPLORE_VALUE * recent / _EXPLORE_S
    return np.asarray(value, np.float32)


def _of_objects(before: Knowledge, shape: tuple[int, ...], picture: Size) -> np.ndarray:
    """The cells of known objects, and the cells around them, (rows, columns)."""
    covered = np.zeros(shape, bool)
    for known in before.known:
        covered[cells_under(known.detection.box_px, shape, picture, margin=1)] = True
    return covered


def best_regions(value: Grid, costs: Costs) -> tuple[Region, ...]:
    """Up to MOST_CROPS regions of the crop's size that cover most of the value, the best first; at least one."""
    rows, columns = value.shape
    left, picture = value.copy(), costs.picture
    width, height = min(costs.crop.width, picture.width), min(costs.crop.height, picture.height)
    kernel = (
        max(1, round(0.86 * width * columns / picture.width)),
        max(1, round(0.86 * height * rows / picture.height)),
    )
    core = (max(1, kernel[0] // 2), max(1, kernel[1] // 2))
    found: list[Region] = []
    for _ in range(MOST_CROPS):
        sums = _sums(left, kernel) + 0.5 * _sums(left, core)  # the core counts more, so that objects are not at an edge
        y, x = divmod(int(sums.argmax()), columns)
        if found and sums[y, x] < _LEAST_VALUE:
            break
        region = Region(
            min(max(0, round((x + 0.5) * picture.width / columns - width / 2)), picture.width - width),
            min(max(0, round((y + 0.5) * picture.height / rows - height / 2)), picture.height - height),
            width,
            height,
        )
        left[_covered((region,), value.shape, picture)] = 0
        found.append(region)
    return tuple(found)


def _sums(value: Grid, kernel: tuple[int, int]) -> Grid:
    return np.asarray(
        cv2.boxFilter(value, -1, kernel, normalize=False, borderType=cv2.BORDER_CONSTANT), np.float32
    )  # fmt: skip


def _covered(regions: tuple[Region, ...], shape: tuple[int, ...], picture: Size) -> np.ndarray:
    """Which cells the regions cover, (rows, columns)."""
    covered = np.zeros(shape, bool)
    for region in regions:
        covered[cells_of(region, (shape[0], shape[1]), picture)] = True
    return covered


def cells_under(box: Box, shape: tuple[int, ...], picture: Size, margin: int = 0) -> tuple[slice, slice]:
    """The cells that a box touches, and so many around them."""
    down, across = shape[0] / picture.height, shape[1] / picture.width
    return (
        slice(max(0, int(box.y1 * down) - margin), int(box.y2 * down) + 1 + margin),
        slice(max(0, int(box.x1 * across) - margin), int(box.x2 * across) + 1 + margin),
    )


def cells_of(region: Region, shape: tuple[int, int], picture: Size) -> tuple[slice, slice]:
    """The cells of which at least a half is in a region."""
    down, across = shape[0] / picture.height, shape[1] / picture.width
    return (
        slice(round(region.top * down), round((region.top + region.height) * down)),
        slice(round(region.left * across), round((region.left + region.width) * across)),
    )
