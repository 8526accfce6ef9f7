"""The cache of answers for byte-identical pictures."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.flow.cache import Cache, Key, key_of
from appliance.values import Box, Detected, Detection, ResultFilter, Size, Timing
from tests.fakes import FakeClock


def answer(detections: int = 1) -> Detected:
    found = tuple(Detection("car", 1, 0.5, Box(0, 0, 1, 1)) for _ in range(detections))
    return Detected(found, Size(64, 48), Size(64, 64), "fake", Timing(0, 0, 0, 0))


def key(number: int) -> Key:
    return Key(number.to_bytes(32, "big"), answer().input_size)


def test_an_answer_is_returned_until_it_expires() -> None:
    clock = FakeClock()
    cache = Cache(entries=10, max_bytes=10**6, ttl_s=60, clock=clock)
    cache.put(key(1), answer())
    clock.pass_(60)
    assert cache.get(key(1)) == answer()
    clock.pass_(0.001)
    assert cache.get(key(1)) is None
    assert len(cache) == 0
    assert cache.bytes == 0


def test_what_was_found_before_the_picture_gets_older() -> None:
    clock = FakeClock()
    cache = Cache(entries=10, max_bytes=10**6, ttl_s=60, clock=clock)
    in_picture, before = answer().detections[0], replace(answer().detections[0], age_s=1.5)
    cache.put(key(1), replace(answer(), detections=(in_picture, before)))
    for seconds in (0.0, 10.0, 20.0):
        clock.now_s = FakeClock().now_s + seconds
        found = cache.get(key(1))
        assert found is not None
        assert [one.age_s for one in found.detections] == [0.0, 1.5 + seconds]


def test_a_hit_does_not_extend_the_lifetime() -> None:
    clock = FakeClock()
    cache = Cache(entries=10, max_bytes=10**6, ttl_s=60, clock=clock)
    cache.put(key(1), answer())
    for _ in range(5):
        clock.pass_(15)
        cache.get(key(1))
    assert cache.get(key(1)) is None


def test_the_least_recently_used_answer_is_evicted_first() -> None:
    cache = Cache(entries=2, max_bytes=10**6, ttl_s=60, clock=FakeClock())
    cache.put(key(1), answer())
    cache.put(key(2), answer())
    cache.get(key(1))
    cache.put(key(3), answer())
    assert cache.get(key(2)) is None
    assert cache.get(key(1)) is not None


def test_a_sweep_evicts_only_expired_answers() -> None:
    clock = FakeClock()
    cache = Cache(entries=10, max_bytes=10**6, ttl_s=60, clock=clock)
    cache.put(key(1), answer())
    clock.pass_(50)
    cache.put(key(2), answer())
    clock.pass_(20)
    cache.sweep()
    assert len(cache) == 1
    assert cache.get(key(2)) is not None


def test_a_shrunken_cache_evicts_the_oldest_and_can_grow_again() -> None:
    cache = Cache(entries=10, max_bytes=10**6, ttl_s=60, clock=FakeClock())
    for number in range(10):
        cache.put(key(number), answer())
    cache.shrink(0.3)
    assert [number for number in range(10) if cache.get(key(number))] == [7, 8, 9]
    cache.shrink(0)
    cache.put(key(1), answer())
    assert (len(cache), cache.bytes) == (0, 0)
    cache.shrink(1)
    for number in range(10):
        cache.put(key(number), answer())
    assert len(cache) == 10


def test_an_answer_larger_than_the_whole_cache_is_not_cached() -> None:
    cache = Cache(entries=10, max_bytes=10_000, ttl_s=60, clock=FakeClock())
    cache.put(key(1), answer())
    cache.put(key(2), answer(300))
    assert cache.get(key(2)) is None
    assert cache.get(key(1)) is not None


@given(
    st.lists(
        st.tuples(st.sampled_from(["put", "get", "pass", "sweep"]), st.integers(0, 9), st.integers(0, 30)), max_size=80
    ),
    st.integers(1, 6),
    st.integers(1_000, 20_000),
)
def test_the_limits_always_hold(steps: list[tuple[str, int, int]], entries: int, max_bytes: int) -> None:
    clock = FakeClock()
    cache = Cache(entries=entries, max_bytes=max_bytes, ttl_s=20, clock=clock)
    stored: dict[int, tuple[float, Detected]] = {}
    for action, number, amount in steps:
        if action == "put":
            cache.put(key(number), answer(amount))
            stored[number] = (clock(), answer(amount))
        elif action == "get":
            got = cache.get(key(number))
            if got is not None:
                at_s, expected = stored[number]
                assert got == expected
                assert clock() - at_s <= 20
        elif action == "pass":
            clock.pass_(amount)
        else:
            cache.sweep()
        assert len(cache) <= entries
        assert 0 <= cache.bytes <= max_bytes
        assert (cache.bytes == 0) == (len(cache) == 0)


BASE = (b"\xff\xd8" + bytes(2000) + b"a", "yolo11n", Size(640, 384), ResultFilter(0.25))


@pytest.mark.parametrize(
    "other",
    [
        (BASE[0][:-1] + b"b", *BASE[1:]),  # the last byte, far after the JPEG header
        (BASE[0] + b"\0", *BASE[1:]),
        (BASE[0], "yolo26n", *BASE[2:]),
        (*BASE[:2], Size(384, 640), BASE[3]),
        (*BASE[:3], ResultFilter(0.26)),
        (*BASE[:3], ResultFilter(0.25, frozenset())),
        (*BASE[:3], ResultFilter(0.25, frozenset({"car"}))),
    ],
    ids=["last_byte", "longer", "model", "input", "confidence", "no_class", "one_class"],
)
def test_every_input_changes_the_key(other: tuple[bytes, str, Size, ResultFilter]) -> None:
    assert key_of(*other) != key_of(*BASE)


def test_the_key_does_not_depend_on_the_order_of_classes() -> None:
    one = ResultFilter(0.25, frozenset(["car", "person", "dog"]))
    other = ResultFilter(0.25, frozenset(["dog", "person", "car"]))
    assert key_of(*BASE[:3], one) == key_of(*BASE[:3], other)
    assert len(key_of(*BASE).digest) == 32


def test_an_answer_from_another_input_size_is_not_cached() -> None:
    cache = Cache(entries=10, max_bytes=10**6, ttl_s=60, clock=FakeClock())
    cache.put(Key(b"1", Size(640, 384)), answer())
    assert len(cache) == 0
