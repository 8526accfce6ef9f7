"""Raw network outputs are converted to detections."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from appliance.errors import EngineError
from appliance.values import Box, ResultFilter, Size
from appliance.vision.heads import HEADS, Reader, head_of, yolo
from appliance.vision.heads.output import Floats, HeadOptions, Indices
from appliance.vision.heads.suppress import suppress
from appliance.vision.letterbox import fit

CLASSES = ("person", "car", "stop sign")
PLACE = fit(Size(1280, 720), Size(640, 384))
ALL = ResultFilter(0.25)


def overlap(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """IoU, 0-1."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, float(width)) * max(0.0, float(height))
    area = sum(float(box[2] - box[0]) * float(box[3] - box[1]) for box in (one, other))
    return shared / (area - shared)


def slow_suppress(boxes: NDArray[np.float32], class_ids: NDArray[np.intp], iou: float) -> list[int]:
    """Keep a box unless a kept, more confident box of its class overlaps it too much."""
    kept: list[int] = []
    for number, box in enumerate(boxes):
        if all(class_ids[other] != class_ids[number] or overlap(boxes[other], box) <= iou for other in kept):
            kept.append(number)
    return kept


coordinates = st.integers(-60, 60)
lengths = st.integers(1, 60)
crowds = st.lists(st.tuples(coordinates, coordinates, lengths, lengths, st.integers(0, 2)), max_size=25)
"""Many boxes in a small area, some beyond the left edge of the image: x, y, width, height, class."""


@given(crowds, st.sampled_from((0.1137, 0.4519, 0.7001)))
@example([(20, 20, 40, 40, 0), (-41, -41, 40, 40, 1)], 0.4519)
@settings(max_examples=300, deadline=None)
def test_suppression_matches_the_reference_implementation(
    crowd: list[tuple[int, int, int, int, int]], iou: float
) -> None:
    rows = np.array(crowd, np.float32).reshape(-1, 5)
    boxes = np.concatenate((rows[:, :2], rows[:, :2] + rows[:, 2:4]), axis=1)
    class_ids = rows[:, 4].astype(np.intp)
    confidences = np.linspace(0.9, 0.3, len(rows), dtype=np.float32)
    kept = suppress(boxes, confidences, class_ids, iou)
    assert kept.tolist() == slow_suppress(boxes, class_ids, iou)


@given(st.integers(2, 12))
def test_the_first_of_equal_boxes_is_kept(count: int) -> None:
    boxes = np.tile(np.array([5, 5, 25, 25], np.float32), (count, 1))
    same = np.zeros(count, np.intp)
    assert suppress(boxes, np.full(count, 0.5, np.float32), same, 0.7).tolist() == [0]
    assert len(suppress(boxes, np.full(count, 0.5, np.float32), np.arange(count), 0.7)) == count


def test_boxes_at_the_overlap_limit_are_two_objects() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 5]], np.float32)
    same, confidences = np.zeros(2, np.intp), np.array([0.9, 0.8], np.float32)
    assert suppress(boxes, confidences, same, 0.5).tolist() == [0, 1]
    assert suppress(boxes, confidences, same, 0.49).tolist() == [0]


Found = tuple[Floats, Floats, Indices]


def head_options(least: float, iou: float, classes: int) -> HeadOptions:
    return HeadOptions(least, iou, 300, Size(640, 384), classes)


def read_anchors(raw: NDArray[np.float32], least: float, iou: float) -> Found:
    rows = yolo.read_anchors((raw,), head_options(least, iou, len(raw) - 4))
    return rows.boxes_in, rows.confidences, rows.class_ids


def read_end_to_end(raw: NDArray[np.float32], least: float, iou: float) -> Found:
    rows = yolo.read_end_to_end((raw,), head_options(least, iou, 3))
    return rows.boxes_in, rows.confidences, rows.class_ids


def anchors(*found: tuple[float, float, float, float, list[float]], dtype: str = "f4") -> NDArray[np.float32]:
    """Output of shape (4 + classes, anchors) from rows of x, y, width, height and class confidences."""
    return np.array([[x, y, width, height, *scores] for x, y, width, height, scores in found], dtype).T


def reader(head: str, max_detections: int = 300) -> Reader:
    return Reader(head, CLASSES, 0.7, max_detections)


def test_an_anchor_is_a_centre_a_size_and_a_confidence_for_each_class() -> None:
    boxes, confidences, class_ids = read_anchors(anchors((100, 50, 40, 20, [0.1, 0.8, 0.3])), 0.25, 0.7)
    assert boxes.tolist() == [[80, 40, 120, 60]]
    assert confidences.tolist() == pytest.approx([0.8])
    assert class_ids.tolist() == [1]


def test_an_anchor_counts_for_its_best_class_only() -> None:
    raw = anchors((100, 50, 40, 20, [0.7, 0.8, 0.75]), (300, 50, 40, 20, [0.5, 0.5, 0.0]))
    assert read_anchors(raw, 0.25, 0.7)[2].tolist() == [1, 0]


def test_a_confidence_has_to_exceed_the_minimum() -> None:
    raw = anchors((100, 50, 40, 20, [0.5, 0, 0]), (300, 50, 40, 20, [0.501, 0, 0]))
    assert len(read_anchors(raw, 0.5, 0.7)[0]) == 1
    rows = np.array([[0, 0, 9, 9, 0.5, 0], [20, 20, 29, 29, 0.501, 0]], np.float32)
    assert len(read_end_to_end(rows, 0.5, 0.7)[0]) == 1


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_outputs_of_every_precision_are_read(dtype: str) -> None:
    raw = anchors((100, 50, 40, 20, [0, 0.5, 0]), (104, 50, 40, 20, [0, 0.75, 0]), dtype=dtype)
    boxes, confidences, class_ids = read_anchors(raw, 0.25, 0.7)
    assert boxes.tolist() == [[84, 40, 124, 60]]
    assert boxes.dtype == confidences.dtype == np.float32
    assert class_ids.tolist() == [1]


@given(
    st.lists(st.tuples(st.integers(0, 600), st.integers(0, 300), st.integers(0, 2), st.integers(1, 99)), max_size=40)
)
@settings(deadline=None)
def test_both_heads_return_the_same_objects_by_descending_confidence(found: list[tuple[int, int, int, int]]) -> None:
    spread = {(x // 50, y // 50): (x // 50 * 50 + 25, y // 50 * 50 + 25, c, p / 100) for x, y, c, p in found}
    rows = [(x - 10, y - 10, x + 10, y + 10, p, c) for x, y, c, p in spread.values()]
    one = anchors(*((x, y, 20, 20, [p * (c == n) for n in range(3)]) for x, y, c, p in spread.values()))
    by_anchors = read_anchors(one.reshape(7, -1), 0.25, 0.7)
    by_rows = read_end_to_end(np.array(rows, np.float32).reshape(-1, 6), 0.25, 0.7)
    for ours, theirs in zip(by_anchors, by_rows, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (np.diff(by_anchors[1]) <= 0).all()
    assert len(by_anchors[0]) == sum(p > 0.25 for _, _, _, p in spread.values())


CELLS = [80 * 48, 40 * 24, 20 * 12, 10 * 6]
"""Of a 640x384 input at strides 8, 16, 32 and 64."""
NOTHING: dict[str, tuple[tuple[int, ...], ...]] = {
    "anchors": ((7, 100),),
    "end_to_end": ((300, 6),),
    "objectness": ((100, 8),),
    "yolox": ((sum(CELLS[:3]), 8),),
    "picodet": (*((cells, 3) for cells in CELLS), *((cells, 32) for cells in CELLS)),
    "boxes_scores": ((100, 4), (3, 100)),
    "class_first": ((0, 6),),
    "boxes_labels": ((0, 4), (0,), (0,)),
}


@pytest.mark.parametrize("head", sorted(HEADS))
def test_no_objects_give_an_empty_result(head: str) -> None:
    raw = [np.zeros(shape, np.float32) for shape in NOTHING[head]]
    if head == "boxes_labels":
        raw[1] = raw[1].astype(np.int64)
    assert reader(head).read(tuple(raw), PLACE, ALL) == ()


@pytest.mark.parametrize("head", sorted(set(HEADS) - {"class_first", "boxes_labels"}))
@pytest.mark.parametrize("what", ["all", "confidences", "box"])
def test_a_network_that_returns_no_numbers_is_an_error_and_not_an_empty_scene(head: str, what: str) -> None:
    raw = [np.full(shape, np.nan if what == "all" else 0.9, np.float32) for shape in NOTHING[head]]
    columns = {"anchors": (0, 4), "boxes_scores": (0, 0), "picodet": (0, 0)}
    box, confidence = columns.get(head, (0, 4))
    scores = raw[1] if head == "boxes_scores" else raw[0]
    if what == "confidences":
        (scores if head in ("anchors", "boxes_scores") else scores.T)[confidence] = np.nan
    if what == "box":
        place = raw[len(raw) // 2] if head == "picodet" else raw[0]
        (place if head == "anchors" else place.T)[box] = np.nan
    with pytest.raises(EngineError, match="NaN or infinity"):
        reader(head).read(tuple(raw), PLACE, ALL)


def test_built_in_suppression_that_returns_no_numbers_is_an_error() -> None:
    for row in ([np.nan] * 6, [1, np.nan, 1, 2, 3, 4], [1, 0.9, 1, np.inf, 3, 4]):
        with pytest.raises(EngineError, match="NaN or infinity"):
            reader("class_first").read((np.array([row], np.float32),), PLACE, ALL)
    boxes, labels = np.array([[1, np.nan, 5, 6]], np.float32), np.array([1])
    for scores in ([0.9], [np.nan]):
        with pytest.raises(EngineError, match="NaN or infinity"):
            reader("boxes_labels").read((boxes, labels, np.array(scores, np.float32)), PLACE, ALL)


@pytest.mark.parametrize("column", range(7))
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_infinity_anywhere_in_an_object_is_an_error_and_not_an_object_without_a_class(
    column: int, value: float
) -> None:
    row = np.array([[100, 100, 200, 200, 0.9, 1, 0.5]], np.float32)
    row[0, column] = value
    if column == 4 and value == -np.inf:  # no object
        return
    for head in (Reader("end_to_end", CLASSES, 0.7, 300), Reader("end_to_end", CLASSES, 0.7, 300, "obb")):
        with pytest.raises(EngineError, match="NaN or infinity"):
            head.read((row,), PLACE, ALL)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_mask_of_no_numbers_is_an_error_and_not_an_empty_or_full_one(value: float) -> None:
    row = np.array([[100, 100, 200, 200, 0.9, 1, 1.0]], np.float32)
    parts = np.full((1, 96, 160), value, np.float32)
    with pytest.raises(EngineError, match="NaN or infinity"):
        Reader("end_to_end", CLASSES, 0.7, 300, "segment").read((row, parts), PLACE, ALL)


def test_corners_that_overflow_are_an_error() -> None:
    row = np.array([[100, 100, 3e38, 3e38, 0.9, 1, 0.5]], np.float32)
    with pytest.raises(EngineError, match="NaN or infinity"), np.errstate(over="ignore", invalid="ignore"):
        Reader("end_to_end", CLASSES, 0.7, 300, "obb").read((row,), PLACE, ALL)


def test_duplicates_of_decoded_boxes_are_suppressed() -> None:
    boxes = np.array([[10, 20, 50, 60], [11, 20, 51, 60], [10, 20, 50, 60]], np.float32)
    scores = np.array([[0.6, 0.7, 0.1], [0.1, 0.2, 0.5], [0, 0, 0]], np.float32)
    first, second = reader("boxes_scores").read((boxes, scores), PLACE, ALL)
    assert (first.name, first.box_px) == ("person", Box(22, 16, 102, 96))
    assert (second.name, second.box_px) == ("car", Box(20, 16, 100, 96))


def test_class_first_rows_may_be_padded() -> None:
    rows = np.array([[-1, 0, 0, 0, 0, 0], [0, 0.4, 10, 20, 50, 60], [2, 0.8, 0, 12, 20, 32]], np.float32)
    sign, person = reader("class_first").read((rows,), PLACE, ALL)
    assert (sign.name, sign.box_px) == ("stop sign", Box(0, 0, 40, 40))
    assert sign.confidence == pytest.approx(0.8)
    assert (person.name, person.box_px) == ("person", Box(20, 16, 100, 96))


def test_boxes_labels_and_scores_are_read_in_any_order() -> None:
    boxes = np.array([[10, 20, 50, 60], [0, 12, 20, 32]], np.float32)
    labels, scores = np.array([1, 2]), np.array([0.5, 0.9], np.float32)
    for raw in ((boxes, labels, scores), (boxes, scores, labels), (scores, boxes, labels)):
        sign, car = reader("boxes_labels").read(raw, PLACE, ALL)
        assert (sign.name, sign.box_px) == ("stop sign", Box(0, 0, 40, 40))
        assert (car.name, car.confidence) == ("car", 0.5)


def test_yolox_is_read_in_pixels_and_in_cells() -> None:
    in_px = np.array([[100, 50, 40, 20, 0.9, 0.1, 0.5, 0]], np.float32)
    in_cells = np.zeros((sum(CELLS[:3]), 8), np.float32)
    third_of_the_second_row = 80 + 2
    in_cells[third_of_the_second_row] = [0.25, 0.5, np.log(5), np.log(2), 0.9, 0.1, 0.5, 0]
    (car,) = reader("objectness").read((in_px,), PLACE, ALL)
    assert (car.name, car.box_px) == ("car", Box(160, 56, 240, 96))
    assert car.confidence == pytest.approx(0.45)
    (car,) = reader("yolox").read((in_cells,), PLACE, ALL)
    left, top, right, bottom = 18 - 20, 12 - 8, 18 + 20, 12 + 8
    assert car.confidence == pytest.approx(0.45)
    assert astuple(car.box_px) == pytest.approx((max(0, left) * 2, max(0, top - 12) * 2, right * 2, (bottom - 12) * 2))


def test_an_overflowing_size_is_clipped_to_the_image() -> None:
    cells = np.zeros((sum(CELLS[:3]), 8), np.float32)
    cells[2000] = [0, 0, 500, 90, 0.9, 0, 0.9, 0]
    cells[2001] = [0, 0, 500, 90, 0.8, 0, 0.9, 0]
    (car,) = reader("yolox").read((cells,), PLACE, ALL)
    assert car.box_px == Box(0, 0, 1280, 720)


def test_picodet_sides_are_the_expected_distance_from_the_cell_centre() -> None:
    scores = [np.zeros((cells, 3), np.float32) for cells in CELLS]
    sides = [np.zeros((cells, 4, 8), np.float32) for cells in CELLS]
    scores[1][5 * 40 + 7] = [0.1, 0.0, 0.8]
    sides[1][5 * 40 + 7, [0, 1, 2, 3], [1, 2, 3, 4]] = 100.0
    (sign,) = reader("picodet").read((*scores, *(one.reshape(-1, 32) for one in sides)), PLACE, ALL)
    x, y = 7 * 16 + 8, 5 * 16 + 8
    assert sign.name == "stop sign"
    assert sign.confidence == pytest.approx(0.8)
    assert astuple(sign.box_px) == pytest.approx(
        ((x - 16) * 2, (y - 32 - 12) * 2, (x + 48) * 2, (y + 64 - 12) * 2), abs=1e-3
    )


def test_detections_are_in_image_pixels_and_have_class_names() -> None:
    raw = np.array([[10, 20, 110, 120, 0.9, 2], [-30, 0, 700, 400, 0.5, 0]], np.float32)
    sign, person = reader("end_to_end").read((raw,), PLACE, ALL)
    assert (sign.name, sign.class_id) == ("stop sign", 2)
    assert sign.confidence == pytest.approx(0.9)
    assert sign.box_px == Box(20, 16, 220, 216)
    assert (person.name, person.box_px) == ("person", Box(0, 0, 1280, 720))
    assert type(sign.confidence) is float
    assert type(sign.class_id) is int


def test_only_requested_classes_are_returned() -> None:
    raw = np.array([[i * 30, 20, i * 30 + 20, 40, 0.9 - i / 10, i % 3] for i in range(6)], np.float32)

    def names(*classes: str) -> list[str]:
        return [
            found.name for found in reader("end_to_end").read((raw,), PLACE, ResultFilter(0.25, frozenset(classes)))
        ]

    assert names("car") == ["car", "car"]
    assert names("car", "person", "unicorn") == ["person", "car", "person", "car"]
    assert names("unicorn") == []
    assert names() == []


def test_the_most_confident_detections_up_to_the_maximum_are_returned() -> None:
    raw = np.array([[i * 30, 20, i * 30 + 20, 40, 0.3 + i / 20, i % 3] for i in range(10)], np.float32)
    found = reader("end_to_end", 4).read((raw,), PLACE, ALL)
    assert [round(one.confidence, 2) for one in found] == [0.75, 0.7, 0.65, 0.6]
    cars = reader("end_to_end", 2).read((raw,), PLACE, ResultFilter(0.25, frozenset({"car"})))
    assert [one.name for one in cars] == ["car", "car"]


def test_a_class_without_a_name_is_called_by_its_number() -> None:
    raw = np.array([[0, 20, 20, 40, 0.9, 7]], np.float32)
    assert reader("end_to_end").read((raw,), PLACE, ALL)[0].name == "class 7"


@pytest.mark.parametrize(
    ("output", "classes", "end_to_end", "head"),
    [
        ((84, 8400), 80, None, "anchors"),
        ((84, None), 80, None, "anchors"),
        ((None, None), 80, None, "anchors"),
        ((6, 8400), 2, None, "anchors"),
        ((300, 6), 80, None, "end_to_end"),
        ((300, 6), 80, True, "end_to_end"),
        ((300, 6), 2, None, "end_to_end"),
        ((6, 6), 2, True, "end_to_end"),
        ((None, 6), 80, True, "end_to_end"),
        ((116, 8400), 80, None, None),
        ((300, 38), 80, None, None),
        ((8400, 85), 80, None, None),
        ((1000,), 1000, None, None),
        ((3, 80, 80, 85), 80, None, None),
    ],
)
def test_the_head_is_detected_from_the_output_shape(
    output: tuple[int | None, ...], classes: int, end_to_end: bool | None, head: str | None
) -> None:
    assert head_of(output, classes, end_to_end) == head
