"""Where a scene has changed, cell by cell, from the thumbnails that the scene gate uses."""

from __future__ import annotations

import cv2
import numpy as np

from appliance.flow import scene_change
from appliance.vision.picture_features import Grid
from appliance.vision.thumbnail import Cells

_STEP = 2.5
"""Smallest difference of a cell that counts, levels of 255; it counts fully from three times this."""

_SAME_LIGHT = 0.75
"""Median difference of a colour up to which nothing has to be compensated, levels."""


def changes(reference: Cells, now: Cells) -> Grid:
    """How much each cell has changed, 0-1, and with it its neighbours; 1 everywhere if the pictures cannot be compared.

    A common change of light is removed first.
    """
    lit: Cells | None = reference
    if reference.shape != now.shape or np.abs(np.median((now - reference)[::2, ::2], axis=(0, 1))).max() > _SAME_LIGHT:
        lit = scene_change.relit(reference, now)
    if lit is None:
        return np.ones(now.shape[:2], np.float32)
    strongest = np.abs(now - lit).max(axis=2)
    changed = np.clip(strongest / (2 * _STEP) - 0.5, 0, 1).astype(np.float32)
    return np.asarray(cv2.dilate(changed, np.ones((3, 3), np.uint8)), np.float32)
