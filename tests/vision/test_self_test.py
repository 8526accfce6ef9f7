"""Which detections in the self-test image pass the self-test."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.governor.ladder import make_ladder
from appliance.service import from_settings, loading
from appliance.settings import loader
from appliance.values import Box, Detection, Frame, ResultFilter, Size
from appliance.vision import scene, self_test

KNOWN = self_test.image()
INPUT = Size(640, 384)
ELSEWHERE = Box(5, 600, 90, 700)
LADDER = [step.limits.max_side for step in make_ladder(from_settings.full_limits(loader.load())).steps]


def moved(sign: Detection, x: float) -> Detection:
    box = sign.box_px
    return replace(sign, box_px=Box(box.x1 + x, box.y1, box.x2 + x, box.y2))


def others(count: int, name: str = "person") -> tuple[Detection, ...]:
    return tuple(Detection(name, 1, 0.5, ELSEWHERE) for _ in range(count))


def test_the_self_test_passes_when_all_signs_are_detected_in_place() -> None:
    assert KNOWN.problem(KNOWN.signs, INPUT, 300) is None
    assert KNOWN.problem(KNOWN.signs[::-1], INPUT, 300) is None


@pytest.mark.parametrize("sign", range(3))
def test_each_sign_needs_the_right_class_place_and_confidence(sign: int) -> None:
    rest = KNOWN.signs[:sign] + KNOWN.signs[sign + 1 :]
    one = KNOWN.signs[sign]
    for instead in ((), (replace(one, name="person"),), (moved(one, 150),), (replace(one, confidence=0.2),)):
        assert str(KNOWN.problem((*rest, *instead), INPUT, 300)).startswith("2 of 3 drawn stop signs were found")


@pytest.mark.parametrize("name", ["person", scene.SIGN])
def test_a_network_that_detects_twice_as_many_objects_fails(name: str) -> None:
    assert KNOWN.problem((*KNOWN.signs, *others(2, name)), INPUT, 300) is None
    problem = KNOWN.problem((*KNOWN.signs, *others(3, name)), INPUT, 300)
    assert problem == "6 objects were found in an image with 3 drawn stop signs"


def test_one_box_matches_only_one_sign() -> None:
    assert KNOWN.problem((KNOWN.signs[0], KNOWN.signs[0], KNOWN.signs[1]), INPUT, 300) is not None


@pytest.mark.parametrize(
    ("input_size", "required"), [(INPUT, 3), (Size(320, 192), 3), (Size(192, 128), 2), (Size(128, 96), 1)]
)
def test_signs_too_small_for_the_input_may_be_missed(input_size: Size, required: int) -> None:
    for found in itertools.product((False, True), repeat=3):
        answer = [sign for sign, there in zip(KNOWN.signs, found, strict=True) if there]
        assert (KNOWN.problem(answer, input_size, 300) is None) is all(found[:required])


@pytest.mark.parametrize("most", [1, 2])
def test_no_more_signs_are_required_than_max_detections(most: int) -> None:
    assert KNOWN.problem(KNOWN.signs[:most], INPUT, most) is None
    assert KNOWN.problem(KNOWN.signs[: most - 1], INPUT, most) is not None


def test_the_default_model_passes_with_a_margin_at_every_size(models_dir: Path) -> None:
    settings = loader.load(flags={"model.dir": str(models_dir), "engine.cache": "false"})
    inference = loading.inference_of(settings, loading.load_network(settings, prepare=False), lambda: 0.0)
    try:
        for side in sorted({*LADDER, 256, 320, 640, 1280}):
            frame = Frame("a", "a", 1, KNOWN.picture, ResultFilter(self_test.CONFIDENCE), 0.0)
            answer = inference.run(frame, side).detected
            assert KNOWN.problem(answer.detections, answer.input_size, 300) is None, answer
            assert len(answer.detections) == 3, answer
            assert min(one.confidence for one in answer.detections) > 0.5, answer
    finally:
        inference.network.close()
