"""Splitting a byte stream into JPEGs, with any bytes in between and any chunk size."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from appliance.camera.sources.jpeg_splitter import JpegSplitter
from tests.camera.sources.http_habits import PICTURES


def found_in(data: bytes, step: int, max_bytes: int = 10**7) -> list[bytes]:
    jpegs = JpegSplitter(max_bytes)
    found = [one for at in range(0, len(data), step) for one in jpegs.feed(data[at : at + step])]
    rest = jpegs.rest()
    return found if rest is None else [*found, rest]


def with_thumbnail(progressive: bool = False) -> bytes:
    """A picture with a thumbnail in its header."""
    whole = io.BytesIO()
    Image.open(io.BytesIO(PICTURES[0])).save(whole, "jpeg", progressive=progressive)
    body, inner = whole.getvalue(), PICTURES[1]
    return body[:2] + b"\xff\xe1" + (len(inner) + 2).to_bytes(2, "big") + inner + body[2:]


@given(between=st.binary(max_size=200).filter(lambda data: b"\xff" not in data), step=st.integers(1, 20_000))
def test_all_pictures_are_found_between_other_bytes_and_with_any_chunk_size(between: bytes, step: int) -> None:
    assert found_in(between + between.join(PICTURES) + between, max(step, 500)) == PICTURES


@pytest.mark.parametrize("progressive", [False, True])
def test_a_thumbnail_does_not_count_as_a_picture(progressive: bool) -> None:
    picture = with_thumbnail(progressive)
    assert found_in(picture * 2, 1000) == [picture, picture]


def test_single_bytes_are_accepted() -> None:
    data = PICTURES[0][:600] + PICTURES[0][-2:]
    assert found_in(data * 2, 1) == found_in(data * 2, 10**6)


def test_a_picture_without_an_end_marker_ends_with_the_next_one_or_the_stream() -> None:
    first, second = PICTURES[0][:-2], PICTURES[1][:-2]
    assert found_in(first + second, 1000) == [first, second]


def test_a_picture_that_is_cut_in_its_header_is_dropped() -> None:
    assert found_in(PICTURES[0][:100], 10) == []


def test_only_the_damaged_picture_is_dropped() -> None:
    broken = PICTURES[0][:2] + b"\xff\xe0\x00\x00" + PICTURES[0][6:]
    assert PICTURES[1] in found_in(broken + PICTURES[1], 1000)


def test_a_picture_that_never_ends_is_dropped() -> None:
    endless = PICTURES[0][:-2] + b"\x00" * 100_000
    jpegs = JpegSplitter(max_bytes=50_000)
    assert list(jpegs.feed(endless)) == []
    assert list(jpegs.feed(PICTURES[1])) == [PICTURES[1]]


def test_the_picture_after_one_that_is_cut_in_its_header_is_found() -> None:
    later = PICTURES[0] * (70_000 // len(PICTURES[0]) + 1)  # longer than any segment
    for length in (2, 30, 100, 250, 500):
        assert PICTURES[1] in found_in(PICTURES[0][:length] + PICTURES[1] + later, 1000)


def test_starts_of_pictures_within_headers_cost_no_time() -> None:
    """Each of these starts leads through all segments behind it: 48 kB took a minute."""
    nested = b"\xff\xd8" + b"\xff\xe0\x00\x04\xff\xd8" * 8_000 + bytes(10)
    assert found_in(nested + PICTURES[1], 65_536) == [PICTURES[1]]
    never = JpegSplitter(max_bytes=50_000)
    assert [one for _ in range(4) for one in never.feed(nested[:-10])] == []


@given(st.lists(st.binary(max_size=300) | st.just(b"\xff\xd8\xff") | st.sampled_from(PICTURES), max_size=12))
def test_any_bytes_are_accepted(chunks: list[bytes]) -> None:
    jpegs = JpegSplitter(max_bytes=100_000)
    for chunk in chunks:
        for picture in jpegs.feed(chunk):
            assert picture.startswith(b"\xff\xd8\xff")
    jpegs.rest()
