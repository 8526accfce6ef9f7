"""The same raw outputs give the same objects as in Ultralytics 8.4.190, recorded by ultralytics_results.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.ports import Raw
from appliance.values import Detection, ResultFilter, Size
from appliance.vision.heads import Reader, head_of
from appliance.vision.letterbox import fit

RECORDED: dict[str, NDArray[Any]] = dict(np.load(Path(__file__).parent / "ultralytics_results.npz"))
NETWORKS = sorted({key.partition("/")[0] for key in RECORDED})
PLACE = fit(Size(301, 190), Size(96, 64))
LEAST, IOU, MOST = 0.5, 0.7, 20
EXTRA = {"detect": 0, "segment": 32, "pose": 51, "obb": 1}


def task_of(name: str) -> str:
    return {"seg": "segment", "pose": "pose", "obb": "obb"}.get(name.rstrip("!").partition("-")[2], "detect")


def raw_of(name: str) -> Raw:
    return tuple(RECORDED[f"{name}/raw{n}"].astype(np.float32) for n in range(2) if f"{name}/raw{n}" in RECORDED)


def found(name: str, wanted: ResultFilter = ResultFilter(LEAST)) -> tuple[Detection, ...]:
    task = task_of(name)
    classes = ("0",) if task == "pose" else ("0", "1", "2")
    head = head_of(raw_of(name)[0].shape, len(classes), bool(RECORDED[f"{name}/end_to_end"]) or None, EXTRA[task])
    assert head == ("end_to_end" if name.endswith("!") else "anchors")
    reader = Reader(head, classes, IOU, MOST, task, (17, 3) if task == "pose" else None)
    return reader.read(raw_of(name), PLACE, wanted)


def places(one: Detection) -> list[float]:
    """Sort in the order of the recording."""
    if one.corners_px is not None:
        return [at for corner in one.corners_px for at in corner]
    box = [one.box_px.x1, one.box_px.y1, one.box_px.x2, one.box_px.y2]
    return box + [number for point in one.keypoints_px or () for number in (point.x, point.y, point.seen)]


@pytest.mark.parametrize("name", NETWORKS)
def test_boxes_poses_and_corners_match_ultralytics(name: str) -> None:
    theirs = RECORDED[f"{name}/rows"]
    ours = np.array([[one.class_id, one.confidence, *places(one)] for one in found(name)])
    assert len(ours) == len(theirs) > 0
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=2e-4)


@pytest.mark.parametrize("name", [name for name in NETWORKS if task_of(name) == "segment"])
def test_outlines_match_ultralytics_to_the_pixel(name: str) -> None:
    ends = RECORDED[f"{name}/outline_lengths"].cumsum()[:-1]
    theirs = np.split(RECORDED[f"{name}/outlines"], ends)
    for one, outline in zip(found(name), theirs, strict=True):
        assert one.outline_px is not None
        np.testing.assert_allclose(np.array(one.outline_px), outline, atol=2e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_filtering_one_class_returns_the_same_objects_as_among_all(name: str) -> None:
    everything = [one for one in found(name) if one.name == "0"]
    alone = found(name, ResultFilter(LEAST, frozenset({"0"})))
    assert list(alone[: len(everything)]) == everything


def test_a_mask_stays_within_its_box() -> None:
    """Except for the pixel on the edge."""
    for name in ("yolo11-seg", "yolo26-seg!"):
        for one in found(name):
            points = np.array(one.outline_px)
            box = one.box_px
            assert (points >= [box.x1 - 4, box.y1 - 4]).all()
            assert (points <= [box.x2 + 4, box.y2 + 4]).all()
