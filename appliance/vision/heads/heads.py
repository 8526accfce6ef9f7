"""All heads by name, and which one a network has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from appliance.ports import Raw
from appliance.vision.heads.rows import Ask, Rows
from appliance.vision.heads.yolo import read_anchors, read_end_to_end

HEADS: dict[str, Callable[[Raw, Ask], Rows]] = {"anchors": read_anchors, "end_to_end": read_end_to_end}


def head_of(
    output: Sequence[int | None], classes: int, end_to_end: bool | None = None, extra: int | None = 0
) -> str | None:
    """Which of Ultralytics' heads has this output shape (without the batch; None: any), if one of them does.

    `extra`: numbers that come with each box: of a mask, a pose, an angle; None: any.
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
