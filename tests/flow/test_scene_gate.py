"""Which answers the scene gate repeats, and what it learns from those that it checks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from appliance.flow.scene_gate import GateRequest, LastScene, SceneGate
from appliance.values import Box, Detected, Detection, ModelInfo, ResultFilter, Size, Timing
from appliance.vision.thumbnail import Cells

MODEL = ModelInfo("m", "fake", "CPU", "fp32", ("person",))
REQUEST = GateRequest(ResultFilter(0.25), Size(1280, 720), Size(640, 384))
EMPTY: Cells = np.random.default_rng(0).uniform(40, 200, (45, 80, 3)).astype(np.float32)


def person(x: float = 600, confidence: float = 0.9) -> Detection:
    return Detection("person", 0, confidence, Box(x, 320, x + 64, 480))


def with_object(x: int = 600, step: float = 40) -> Cells:
    cells = EMPTY.copy()
    cells[20:30, x // 16 : x // 16 + 4] += step
    return cells


class Camera:
    """One camera before the gate, with a scripted network."""

    def __init__(self, refresh_s: float = 20.0, audited: float = 0.0) -> None:
        self.gate = SceneGate(refresh_s, audited, seed=1)
        self.last: LastScene | None = None
        self.now_s = 0.0

    def shows(self, cells: Cells, *found: Detection, model: ModelInfo = MODEL, request: GateRequest = REQUEST) -> bool:
        """Whether the frame was held; otherwise the network finds `found`."""
        self.now_s += 1.0
        look = self.gate.look(self.last, cells, request, model, self.now_s)
        assert look is not None
        if look.holds and self.last is not None:
            self.last = self.gate.held(self.last, look)
            return True
        answer = Detected(found, request.image_size, request.input_size, model.name, Timing(0, 0, 0, 0))
        self.last = self.gate.inferred(self.last, look, request, model, answer, self.now_s)
        return False


def test_what_is_repeated_says_how_long_ago_it_was_found() -> None:
    """Crops found one of the objects a second before the inference, and the inference the other."""
    camera = Camera()
    for _ in range(2):
        camera.shows(EMPTY, replace(person(100), age_s=1.0), person(600))
    for seconds in (1.0, 2.0, 3.0):
        assert camera.shows(EMPTY)
        assert camera.last is not None
        assert [one.age_s for one in camera.last.repeated(camera.now_s)] == [1.0 + seconds, seconds]


def test_an_unchanged_scene_is_held_until_the_refresh() -> None:
    camera = Camera(refresh_s=5.0)
    held = [camera.shows(EMPTY) for _ in range(16)]
    assert held == [False] * 2 + [True] * 3 + [False] + [True] * 4 + [False] + [True] * 4 + [False]


def test_an_answer_is_checked_soon_after_a_change_and_ever_less_often_then() -> None:
    camera = Camera(refresh_s=20.0)
    for _ in range(60):
        camera.shows(EMPTY)
    camera.shows(with_object(), person())
    held = [camera.shows(with_object(), person()) for _ in range(55)]
    inferred = [second for second, one in enumerate(held) if not one]
    assert inferred == [0, 4, 12, 28, 48]  # after 1, 4, 8, 16 and 20 s


def test_an_object_that_appears_is_inferred_at_once() -> None:
    camera = Camera()
    for _ in range(5):
        camera.shows(EMPTY)
    assert not camera.shows(with_object(), person())
    assert not camera.shows(with_object(), person())
    assert camera.shows(with_object())


def test_an_object_that_the_gate_overlooks_is_found_at_the_refresh_and_tightens_it() -> None:
    camera = Camera(refresh_s=5.0)
    for _ in range(3):
        camera.shows(EMPTY)
    assert camera.last is not None
    camera.last = replace(camera.last, evidence=replace(camera.last.evidence, tolerance=1.6))
    faint = with_object(step=3.5)
    held = [camera.shows(faint, person()) for _ in range(4)]
    assert held[-1] is False
    assert held[0] is True
    assert camera.last.answer.detections == (person(),)
    assert camera.last.evidence.missed == 1
    assert camera.last.evidence.tolerance < 1.6


def test_a_part_of_the_held_frames_is_audited() -> None:
    camera = Camera(refresh_s=10_000.0, audited=0.1)
    held = sum(camera.shows(EMPTY) for _ in range(1000))
    assert camera.last is not None
    assert 850 < held < 950
    assert held + camera.last.evidence.audits == 998
    assert camera.last.evidence.held == held
    assert camera.last.evidence.recall == 1.0


def test_an_object_that_the_network_lost_by_chance_is_repeated() -> None:
    camera = Camera(refresh_s=3.0)
    for _ in range(6):
        camera.shows(EMPTY, person())
    while camera.shows(EMPTY):  # the refresh loses the person
        pass
    assert camera.shows(EMPTY)
    assert camera.last is not None
    (repeated,) = camera.last.answer.detections
    assert repeated.box_px == person().box_px
    assert repeated.confidence < person().confidence


def test_an_object_that_leaves_unnoticed_is_repeated_for_little_longer_than_the_refresh() -> None:
    """A parked car drives off in the dark: three inferences have to lack it, and none waits for another refresh."""
    camera = Camera(refresh_s=20.0)
    for _ in range(200):
        camera.shows(EMPTY, person())
    left_s = camera.now_s
    while camera.last is not None and camera.last.answer.detections:
        camera.shows(EMPTY)
    assert camera.now_s - left_s <= 20 + 2 * 3
    held = [camera.shows(EMPTY) for _ in range(100)]
    assert sum(held) > 90


def test_an_object_that_one_answer_alone_has_is_not_repeated() -> None:
    camera = Camera(refresh_s=3.0)
    for _ in range(6):
        camera.shows(EMPTY)
    while camera.shows(EMPTY, person()):  # the refresh finds a person that is not there
        pass
    while not camera.shows(EMPTY):
        pass
    assert camera.last is not None
    assert camera.last.answer.detections == ()


def test_an_object_that_left_is_not_waited_for() -> None:
    camera = Camera()
    for _ in range(4):
        camera.shows(with_object(), person())
    assert not camera.shows(EMPTY)
    assert camera.shows(EMPTY)


def test_another_network_gives_its_own_answer_and_evidence() -> None:
    camera = Camera(audited=0.5)
    for _ in range(20):
        camera.shows(EMPTY)
    other = replace(MODEL)
    assert not camera.shows(EMPTY, model=other)
    assert camera.last is not None
    assert camera.last.evidence.audits == 0


def test_another_request_is_inferred() -> None:
    camera = Camera()
    for _ in range(4):
        camera.shows(EMPTY)
    assert not camera.shows(EMPTY, request=replace(REQUEST, input_size=Size(320, 192)))


def test_a_camera_whose_gate_rests_is_inferred() -> None:
    camera = Camera()
    for _ in range(4):
        camera.shows(EMPTY)
    assert camera.last is not None
    camera.last = replace(camera.last, evidence=replace(camera.last.evidence, rests_until_s=1000.0))
    assert not camera.shows(EMPTY)


def test_a_clock_in_the_picture_is_learned_and_an_object_next_to_it_is_not_missed() -> None:
    random = np.random.default_rng(3)
    camera, held = Camera(refresh_s=1000.0), []
    for _ in range(60):
        cells = EMPTY.copy()
        cells[1, 30] = random.uniform(0, 255)
        held.append(camera.shows(cells))
    assert sum(held[:10]) < 8
    assert sum(held[40:]) >= 18
    shown = with_object(x=480)
    shown[1, 30] = 0
    assert not camera.shows(shown, person(480))


def test_a_place_where_an_object_is_found_is_no_false_alarm() -> None:
    camera = Camera(refresh_s=1000.0)
    for number in range(60):
        x = 560 + 80 * (number % 2)
        assert not camera.shows(with_object(x, step=60), person(x))
