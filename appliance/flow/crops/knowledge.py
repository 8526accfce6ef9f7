"""What is known of one camera's scene: where it was looked at, what was found, and whether crops pay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from appliance.values import Detection, ResultFilter, Size
from appliance.vision.picture_features import Grid
from appliance.vision.thumbnail import Cells

_LEAST_AGAIN, _RESTLESS = 3.0, 0.2


@dataclass(frozen=True, slots=True)
class KnownObject:
    """An object that was found at `seen_s` (monotonic) at `scale` input pixels for each pixel of the picture."""

    detection: Detection
    seen_s: float
    scale: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """How many objects only the crops found, of all that were in them when the whole picture was looked at too.

    Older counts fade. It begins with even odds.
    """

    only_crops: float = 1.0
    all: float = 2.0
    counted: int = 0
    """Objects that were compared, without fading."""
    again: float = 0.0
    moved: float = 0.0
    """Objects that were looked at again within half a second, and those that move too fast to be looked at less."""

    @property
    def restless(self) -> bool:
        """Whether places become wrong before they are looked at again."""
        return self.again >= _LEAST_AGAIN and self.moved > _RESTLESS * self.again

    @property
    def share(self) -> float:
        """The share of objects that only the crops find, 0-1."""
        return self.only_crops / self.all


@dataclass(frozen=True, slots=True)
class SceneRequest:
    """What two frames have in common if knowledge of one applies to the other."""

    wanted: ResultFilter
    picture: Size
    whole: Size
    """The input for the whole picture."""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """One camera's scene after a frame at `at_s` (monotonic)."""

    request: SceneRequest
    at_s: float
    reference: Cells
    """Each cell as it was when it was last looked at."""
    seen_s: Grid
    """When each cell of the thumbnail was last looked at in the camera's own detail, (rows, columns)."""
    barren: Grid
    """How often a change here was looked at and no object was there, 0-1: trees, flags, water."""
    known: tuple[KnownObject, ...] = ()
    evidence: Evidence = Evidence()
    credit: float = 0.0
    """Unused part of the budget, in inferences of the whole picture."""
    since_overview: int = 0
    since_whole: int = 0
    """Frames since an overview, and since the whole picture at full size."""
    whole_s: float = float("-inf")
    """When that was."""
    rest: int = 0
    """Frames to run as a whole before the next decision."""
    wholes: int = 0
    """Frames that ran as a whole because the crops would have missed too much."""


def nothing(request: SceneRequest, cells: Cells) -> Knowledge:
    """Knowledge before a camera's first frame."""
    rows, columns = cells.shape[:2]
    unseen = np.full((rows, columns), -np.inf, np.float32)
    return Knowledge(request, float("-inf"), cells, unseen, np.zeros((rows, columns), np.float32))
