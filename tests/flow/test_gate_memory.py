"""What several inferences of an unchanged scene have found."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.flow.gate_memory import Remembered, conclude, look
from appliance.values import Box, Detection


def person(x: float = 0, confidence: float = 0.8) -> Detection:
    return Detection("person", 0, confidence, Box(x, 0, x + 50, 100))


def looks(*found: int, confidence: float = 0.8, changed: bool = False) -> tuple[Remembered, ...]:
    """The memory after looks that found a person, or not."""
    memory: tuple[Remembered, ...] = ()
    for one in found:
        memory = look(memory, [person(confidence=confidence)] * one, lambda _: changed)
    return memory


def test_an_object_is_settled_once_a_second_look_has_found_it() -> None:
    assert conclude(looks(1), 0.25) == ((person(),), False)
    assert conclude(looks(1, 1), 0.25) == ((person(),), True)


def test_an_object_that_most_looks_have_found_is_there_with_its_mean_confidence() -> None:
    (kept,), settled = conclude(looks(1, 1, 1, 0), 0.25)
    assert settled
    assert round(kept.confidence, 3) == 0.6


def test_an_object_that_the_latest_looks_lack_gets_older() -> None:
    memory = looks(1, 1, 1)
    for elapsed_s in (2.0, 5.0):
        memory = look(memory, [], lambda _: False, elapsed_s)
    (kept,), _ = conclude(memory, 0.25)
    assert kept.age_s == 7.0
    (found,), _ = conclude(look(memory, [person()], lambda _: False, 1.0), 0.25)
    assert found.age_s == 0.0


def test_an_object_that_one_look_has_found_is_waited_for_and_then_gone() -> None:
    assert conclude(looks(1, 0), 0.25) == ((), False)
    assert conclude(looks(1, 0, 0), 0.25) == ((), False)
    assert conclude(looks(1, 0, 0, 0), 0.25) == ((), True)


def test_a_faint_object_is_not_waited_for() -> None:
    assert conclude(looks(1, 0, confidence=0.3), 0.25) == ((), True)


def test_where_the_scene_has_changed_only_the_latest_look_counts() -> None:
    assert conclude(looks(1, 1, 1, 0, changed=True), 0.25) == ((), True)


def test_another_class_in_the_same_place_is_another_object() -> None:
    dog = Detection("dog", 16, 0.7, person().box_px)
    memory = look(look((), [person(), dog], lambda _: False), [person(), dog], lambda _: False)
    assert conclude(memory, 0.25) == ((person(), dog), True)


@given(st.lists(st.lists(st.tuples(st.integers(0, 9), st.floats(0.25, 1)), max_size=6), max_size=12))
def test_memory_is_bounded_and_always_settles(frames: list[list[tuple[int, float]]]) -> None:
    memory: tuple[Remembered, ...] = ()
    for frame in frames:
        found = [person(100.0 * place, confidence) for place, confidence in frame]
        memory = look(memory, found, lambda _: False)
        assert len(memory) <= 5 * 6
        there, _ = conclude(memory, 0.25)
        assert all(0.25 <= one.confidence <= 1 for one in there)
    for _ in range(3):
        memory = look(memory, [], lambda _: False)
    there, settled = conclude(memory, 0.25)
    assert (there, settled) == ((), True)
