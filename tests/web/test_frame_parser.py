"""Variants of base64 that clients send."""

from __future__ import annotations

import base64
import contextlib
import os
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import BadFrame
from appliance.web.frame_parser import FrameParser, _spaces_are_regular
from tests.fakes import FakeClock

PARSER = FrameParser(max_frame_bytes=1_000_000, max_pixels=1_000_000, min_confidence=0.25, clock=FakeClock())


def lines(text: str, width: int, line_break: str) -> str:
    return line_break.join(text[at : at + width] for at in range(0, len(text), width))


FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "unpadded": lambda text: text.rstrip("="),
    "url_safe": lambda text: text.replace("+", "-").replace("/", "_"),
    "url_safe_unpadded": lambda text: text.replace("+", "-").replace("/", "_").rstrip("="),
    "mime": lambda text: lines(text, 76, "\r\n") + "\r\n",
    "blanks": lambda text: lines(text, 64, " "),
    "blanks_unpadded": lambda text: lines(text, 64, " ").rstrip("="),
    "blanks_around": lambda text: f"  {text}\n",
    "plus_as_blank": lambda text: text.replace("+", " "),
    "data_url": lambda text: f"data:image/jpeg;base64,{text}",
    "data_url_with_blanks": lambda text: f" data:image/jpeg; base64, {text}",
    "data_url_unpadded": lambda text: f"data:image/jpeg;base64,{text.rstrip('=')}",
}


@pytest.mark.parametrize("size", [1998, 1999, 2000])
@pytest.mark.parametrize("form", FORMS)
def test_every_variant_of_base64_is_decoded(form: str, size: int) -> None:
    for _ in range(50):
        data = b"\xff\xd8" + os.urandom(size)
        assert PARSER.picture_bytes(FORMS[form](base64.b64encode(data).decode())) == data


@given(data=st.binary(min_size=1, max_size=300), form=st.sampled_from(sorted(set(FORMS) - {"plus_as_blank"})))
@settings(deadline=None)
def test_short_base64_is_decoded(data: bytes, form: str) -> None:
    text = base64.b64encode(data).decode()
    if "blanks" in form and "+" not in text:
        return  # spaces in a text without + may stand for +
    assert PARSER.picture_bytes(FORMS[form](text)) == data


@given(text=st.text(alphabet="ABab09+/-_= \n\ré\0", max_size=60))
@settings(deadline=None)
def test_any_text_is_decoded_or_refused(text: str) -> None:
    try:
        PARSER.picture_bytes(text)
    except BadFrame as error:
        assert error.code in ("base64_invalid", "frame_empty")  # noqa: PT017  # both ways are right


@given(text=st.text(alphabet="A ", min_size=1, max_size=24).filter(lambda text: " " in text and text[0] == "A"))
def test_spaces_are_regular_if_all_lines_but_the_last_are_equally_long(text: str) -> None:
    raw = text.encode()
    assert _spaces_are_regular(raw) == (len({len(line) for line in raw.split(b" ")[:-1]}) <= 1)


@pytest.mark.parametrize("text", ["A ", "A\n", "A \n", "A", " ", "="], ids=repr)
def test_a_text_full_of_spaces_takes_no_memory_for_each_of_them(text: str) -> None:
    """An object for each of 6.5 million lines holds up all other threads for 0.3 s."""
    parser = FrameParser(max_frame_bytes=200_000, max_pixels=1_000_000, min_confidence=0.25, clock=FakeClock())
    hostile = text * (260_000 // len(text))
    tracemalloc.start()
    try:
        with contextlib.suppress(BadFrame):
            parser.picture_bytes(hostile)
        assert tracemalloc.get_traced_memory()[1] < 4 * len(hostile)
    finally:
        tracemalloc.stop()
