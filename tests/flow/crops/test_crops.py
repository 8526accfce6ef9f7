"""Frames with crops through the inference, with a fake engine."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from appliance.flow.crops.crops import MOST_CAMERAS, Crops
from appliance.flow.inference import Answer, Inference
from appliance.flow.sizes import Sizes
from appliance.ports import Raw, T, Tensor
from appliance.values import FULL_VIEW, Box, Frame, ResultFilter, Size
from appliance.vision import decode
from appliance.vision.view import make_view
from tests.fakes import FakeClock, FakeEngine, fake_network

GREY, WHITE = 90, 250


@functools.cache
def street(x: int | None = 1000, y: int = 500, size: Size = Size(1280, 720)) -> bytes:
    """A textured picture with a white square of 32 px at (x, y); None: without."""
    pixels = np.random.default_rng(1).integers(60, 120, (size.height // 8, size.width // 8, 3), np.uint8)
    pixels = pixels.repeat(8, axis=0).repeat(8, axis=1)
    if x is not None:
        pixels[y : y + 32, x : x + 32] = WHITE
    return decode.encode_jpeg(np.ascontiguousarray(pixels), 90)


class Watcher(FakeEngine):
    """Finds white squares, but only where they are 24 px wide or more: at the picture's own detail."""

    def infer(self, tensor: Tensor, read: Callable[[Raw], T], *, all_cores: bool = False) -> T:
        rows, columns = np.nonzero(tensor.min(axis=2) > 200)
        found = [] if len(rows) == 0 else [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1, 0.9, 0]]
        self.rows = np.array([row for row in found if row[2] - row[0] >= 24], np.float32).reshape(-1, 6)
        return super().infer(tensor, read, all_cores=all_cores)


class Stage:
    """One camera's frames, ten a second."""

    def __init__(self, engine: FakeEngine | None = None, fixed: Size | None = None) -> None:
        self.clock, self.engine = FakeClock(), engine or Watcher()
        network = fake_network(self.engine)
        if fixed:
            network = replace(network, sizes=Sizes(self.engine, 32, fixed))
        self.crops = Crops()
        self.inference = Inference(network, clock=self.clock, crops=self.crops)

    def run(
        self,
        data: bytes,
        camera: str = "gate",
        view: object = FULL_VIEW,
        at_s: float | None = None,
        max_side: int = 640,
    ) -> Answer:
        self.clock.pass_(0.1)
        picture = decode.read_header(data, 10**8)
        wanted = ResultFilter(0.25, view=view)  # type: ignore[arg-type]
        at_s = self.clock() if at_s is None else at_s
        return self.inference.run(Frame(camera, camera, 1, picture, wanted, at_s), max_side)

    def boxes(self, data: bytes, **options: object) -> list[Box]:
        return [one.box_px for one in self.run(data, **options).detected.detections]  # type: ignore[arg-type]


def walk(number: int) -> bytes:
    return street(200 + 8 * (number % 60))


def test_a_small_object_is_found_in_the_cameras_own_pixels() -> None:
    stage = Stage()
    assert stage.boxes(walk(0)) == []
    for number in range(1, 30):
        boxes = stage.boxes(walk(number))
    assert len(boxes) == 1
    truth = Box(200 + 8 * 29, 500, 232 + 8 * 29, 532)
    for found, true in zip((boxes[0].x1, boxes[0].y1, boxes[0].x2, boxes[0].y2),
                           (truth.x1, truth.y1, truth.x2, truth.y2), strict=True):  # fmt: skip
        assert found == pytest.approx(true, abs=2)


def test_an_object_that_stops_stays_found() -> None:
    stage = Stage()
    for number in range(20):
        stage.run(walk(number))
    for _ in range(80):
        assert len(stage.boxes(walk(19))) == 1


@pytest.mark.parametrize(("step", "restless"), [(1, False), (12, True)])
def test_it_is_learned_whether_objects_move_too_fast_to_be_looked_at_less(step: int, restless: bool) -> None:
    """A square of 32 px; 12 px in a tenth of a second take it out of its own box before the next look but one."""
    stage = Stage()
    for number in range(50):
        stage.run(street(200 + step * (number % 60)))
    assert stage.crops.evidence("gate").restless is restless


def test_an_object_that_has_gone_is_not_reported_for_long() -> None:
    stage = Stage()
    for number in range(20):
        stage.run(walk(number))
    for _ in range(10):
        boxes = stage.boxes(street(None))
    assert boxes == []


def test_the_answer_says_where_inference_ran_and_how_old_a_detection_is() -> None:
    stage = Stage()
    first = stage.run(walk(0)).detected
    assert (first.regions, first.input_size) == ((), Size(640, 384))
    answers = [stage.run(walk(min(number, 20))).detected for number in range(1, 80)]
    crops = [one for one in answers if one.regions and one.input_size == Size(320, 192)]
    assert len(crops) > 60
    assert all(0 <= box.x1 < box.x2 <= 1280 and 0 <= box.y1 < box.y2 <= 720 for one in crops for box in one.regions)
    ages = [found.age_s for one in answers for found in one.detections]
    assert max(ages) > 0
    assert max(ages) <= 3


def test_crops_and_overviews_share_one_input_size() -> None:
    stage = Stage()
    for number in range(60):
        stage.run(walk(number))
    assert {tensor.shape[:2] for tensor in stage.engine.tensors} == {(384, 640), (192, 320)}


def test_a_client_without_a_cameras_name_may_send_the_pictures_of_several() -> None:
    """What one of its cameras shows is never reported for another, and each picture is looked at as a whole."""
    stage = Stage(FakeEngine())
    for _ in range(40):
        for data in (street(1000), street(None)):
            assert stage.run(data, camera="http-10.0.0.7").detected.regions == ()
    assert {tensor.shape[:2] for tensor in stage.engine.tensors} == {(384, 640)}
    assert stage.crops.cameras == 0


def test_what_moves_under_a_mask_is_not_looked_at() -> None:
    stage = Stage()
    view = make_view(masks=(((0.0, 0.6), (1.0, 0.6), (1.0, 0.9), (0.0, 0.9)),))
    for number in range(40):
        assert stage.boxes(walk(number), view=view) == []


@pytest.mark.parametrize("size", [Size(640, 360), Size(768, 432)])
def test_a_picture_without_more_detail_runs_as_a_whole(size: Size) -> None:
    stage = Stage()
    for number in range(10):
        assert stage.run(street(8 * number, 100, size)).detected.regions == ()


def test_a_network_with_one_fixed_size_runs_every_frame_as_a_whole() -> None:
    stage = Stage(fixed=Size(640, 640))
    for number in range(10):
        assert stage.run(walk(number)).detected.regions == ()


def test_the_self_test_runs_as_a_whole() -> None:
    stage = Stage()
    for number in range(10):
        assert stage.run(walk(number), camera="_canary").detected.regions == ()


def test_scarce_memory_stops_crops() -> None:
    stage = Stage()
    for number in range(10):
        stage.run(walk(number))
    stage.inference.network.sizes.keep(1)
    assert stage.run(walk(11)).detected.regions == ()


def test_another_request_of_the_camera_starts_from_nothing() -> None:
    stage = Stage()
    for number in range(20):
        stage.run(walk(number))
    answer = stage.run(walk(20), view=make_view(classes=("car",))).detected
    assert (answer.regions, answer.detections) == ((), ())


def test_nothing_is_carried_into_another_scene() -> None:
    """As from a client that posts the pictures of several cameras."""
    stage = Stage()
    for number in range(20):
        stage.run(walk(number))
    other = np.random.default_rng(5).integers(0, 160, (45, 80, 3), np.uint8).repeat(16, axis=0).repeat(16, axis=1)
    assert stage.boxes(decode.encode_jpeg(np.ascontiguousarray(other), 90)) == []


def test_an_older_frame_never_replaces_newer_knowledge() -> None:
    stage = Stage()
    for number in range(20):
        stage.run(walk(number))
    stage.run(street(None), at_s=stage.clock() - 1)
    assert len(stage.boxes(walk(20))) == 1


def test_knowledge_is_kept_of_a_bounded_number_of_cameras() -> None:
    stage = Stage()
    for number in range(MOST_CAMERAS + 5):
        stage.run(walk(0), camera=f"camera {number}")
    assert stage.crops.cameras == MOST_CAMERAS


def test_while_the_device_is_hot_no_frame_costs_more_than_the_whole_picture() -> None:
    stage = Stage()
    stage.inference.sparing = True
    for number in range(60):
        before = len(stage.engine.tensors)
        stage.run(walk(number))
        pixels = sum(tensor.shape[0] * tensor.shape[1] for tensor in stage.engine.tensors[before:])
        assert pixels <= 640 * 384


def test_each_step_down_of_the_governor_takes_from_the_crops_too() -> None:
    """Frames with crops keep to their part of what the whole picture may cost now, so heat needs no rule of its own."""
    stage, costs = Stage(), []
    for max_side in (640, 448, 320):
        stage.inference.sparing = max_side < 640
        whole = stage.inference.network.sizes.best(Size(1280, 720), max_side)
        before = len(stage.engine.tensors)
        for number in range(40):
            first = len(stage.engine.tensors)
            stage.run(walk(number), max_side=max_side)
            pixels = sum(tensor.shape[0] * tensor.shape[1] for tensor in stage.engine.tensors[first:])
            assert max_side == 640 or pixels <= whole.width * whole.height
        costs.append(sum(tensor.shape[0] * tensor.shape[1] for tensor in stage.engine.tensors[before:]) / 40)
        assert costs[-1] <= 0.75 * whole.width * whole.height
    assert costs == sorted(costs, reverse=True)
