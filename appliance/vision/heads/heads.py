"""All heads by name, and the detection of a network's head."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from appliance.ports import Raw
from appliance.vision.heads.output import HeadOptions, HeadOutput
from appliance.vision.heads.picodet import read_boxes_scores, read_picodet
from appliance.vision.heads.postprocessed import read_boxes_labels, read_class_first
from appliance.vision.heads.yolo import read_anchors, read_end_to_end
from appliance.vision.heads.yolox import read_objectness, read_yolox

HEADS: dict[str, Callable[[Raw, HeadOptions], HeadOutput]] = {
    "anchors": read_anchors,
    "end_to_end": read_end_to_end,
    "objectness": read_objectness,
    "yolox": read_yolox,
    "picodet": read_picodet,
    "boxes_scores": read_boxes_scores,
    "class_first": read_class_first,
    "boxes_labels": read_boxes_labels,
}
"""Ultralytics' networks use one of the first two, found by `head_of`. The bundle has to declare any other."""


def head_of(
    output: Sequence[int | None], classes: int, end_to_end: bool | None = None, extra: int | None = 0
) -> str | None:
    """The Ultralytics head with this output shape (without the batch; None: any size), or None.

    `extra`: numbers that belong to each box, for a mask, a pose or an angle; None: unknown.
    """
    if len(output) != 2:
        return None
    rows, columns = output
    if extra is None:
        extra = (columns if end_to_end else rows) or 0
        extra = max(0, extra - (6 if end_to_end else 4 + classes))
    if columns == 6 + extra and (end_to_end or rows != 4 + classes + extra):
        return "end_to_end"
    if rows == 4 + classes + extra or (rows is None and not end_to_end):
        return "anchors"
    return None
