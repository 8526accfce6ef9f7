"""What belongs to a box: the outline of a mask, the points of a pose, the corners of an oriented box.

Each function takes the rows of a head and returns one tuple of points for each, in image pixels. The results match
Ultralytics' predictors (`process_mask` with upsampling, `scale_coords`, `xywhr2xyxyxyxy`); the code is independent.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.ports import Raw
from appliance.values import Keypoint, Point
from appliance.vision.heads.output import Floats, HeadOutput, check_finite
from appliance.vision.letterbox import Letterbox


def outlines(rows: HeadOutput, raw: Raw, place: Letterbox) -> list[tuple[Point, ...]]:
    """The outline of the largest connected part of each object's mask; empty for an empty mask.

    `raw[1]`: prototypes, (parts, height / 4, width / 4). A mask is where their sum, weighted by the row's `extra`, is
    above zero within the box.
    """
    prototypes = raw[1].astype(np.float32)
    parts, height, width = prototypes.shape
    sums = rows.extra @ prototypes.reshape(parts, -1)
    check_finite(sums)
    return [
        _outline(one.reshape(height, width), box, place) for one, box in zip(sums, rows.boxes_in.tolist(), strict=True)
    ]


def _outline(small: Floats, box_in: list[float], place: Letterbox) -> tuple[Point, ...]:
    size = place.outer
    mask = (cv2.resize(small, (size.width, size.height), interpolation=cv2.INTER_LINEAR) > 0).astype(np.uint8)
    x1, y1, x2, y2 = (max(0, int(np.ceil(side))) for side in box_in)  # x1 inclusive, x2 exclusive
    inside = np.zeros_like(mask)
    inside[y1:y2, x1:x2] = mask[y1:y2, x1:x2]
    pieces, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not pieces:
        return ()
    largest = max(pieces, key=cv2.contourArea).reshape(-1, 2).astype(np.float32)
    return tuple((x, y) for x, y in place.points_to_image(largest).tolist())


def poses(rows: HeadOutput, place: Letterbox, shape: tuple[int, int]) -> list[tuple[Keypoint, ...]]:
    """The key points of each object: x, y and confidence (0-1; 1 when the network does not provide it).

    `shape`: number of points, and numbers for each point, two or three.
    """
    count, numbers = shape
    points = rows.extra.reshape(-1, count, numbers)
    seen = points[..., 2] if numbers == 3 else np.ones(points.shape[:2], np.float32)
    placed = np.concatenate((place.points_to_image(points[..., :2]), seen[..., None]), axis=-1)
    return [tuple(Keypoint(*point) for point in one) for one in placed.tolist()]


def oriented_corners(rows: HeadOutput, place: Letterbox) -> NDArray[np.float32]:
    """The four corners of each oriented box, in order around it: (n, 4, 2), not clipped to the image."""
    boxes, angles = place.extents_to_image(rows.boxes_in), rows.extra[:, -1]
    centre, extent = boxes[:, :2], boxes[:, 2:] / 2
    cos, sin = np.cos(angles), np.sin(angles)
    along = extent[:, :1] * np.stack((cos, sin), axis=1)
    across = extent[:, 1:] * np.stack((-sin, cos), axis=1)
    corners = (centre + along + across, centre + along - across, centre - along - across, centre - along + across)
    placed = np.stack(corners, axis=1)
    check_finite(placed)
    return placed
