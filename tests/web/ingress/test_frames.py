"""The frame meter, with pieces of any size."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.web.ingress.frames import FrameMeter
from tests.web.ingress.peers import frame

MESSAGES = st.lists(
    st.tuples(st.sampled_from((0x1, 0x2, 0x9, 0xA)), st.sampled_from((0, 1, 125, 126, 300, 70_000))), max_size=6
)


@settings(deadline=None)
@given(MESSAGES, st.integers(1, 5000))
def test_the_meter_does_not_depend_on_the_size_of_pieces(messages: list[tuple[int, int]], piece: int) -> None:
    stream = b"".join(frame(opcode, bytes(size)) for opcode, size in messages)
    meter, longest = FrameMeter(), 0
    for start in range(0, len(stream), piece):
        meter.feed(stream[start : start + piece])
        longest = max(longest, meter.longest)
    data = [size for opcode, size in messages if opcode < 8]
    assert (meter.messages, meter.controls) == (len(data), len(messages) - len(data))
    assert meter.unfinished == 0
    assert max(data, default=0) <= longest <= max(data, default=-14) + 14


def test_the_length_of_a_message_is_known_from_its_frame_headers() -> None:
    meter = FrameMeter()
    meter.feed(frame(0x2, b"first", length=29_000_000))
    assert meter.longest > 29_000_000
    assert 5 < meter.unfinished < 20


def test_fragments_with_pings_between_them_are_one_message() -> None:
    meter = FrameMeter()
    meter.feed(frame(0x1, b"ab", fin=False) + frame(0x9, b"ping") + frame(0x0, b"", fin=False) * 50)
    assert meter.messages == 0
    assert meter.unfinished > 300, "empty fragments count by their heads"
    meter.feed(frame(0x0, b"c"))
    assert (meter.messages, meter.controls, meter.unfinished) == (1, 1, 0)


def test_a_compressed_message_is_reported_until_the_next_feed() -> None:
    meter = FrameMeter()
    meter.feed(frame(0x2, b"abc", deflated=True))
    assert meter.compressed
    meter.feed(frame(0x2, b"abc"))
    assert not meter.compressed


def test_tiny_fragments_are_detected_early() -> None:
    meter = FrameMeter()
    meter.feed(frame(0x2, b"a", fin=False) + frame(0x0, b"b", fin=False) * 40_000)
    assert meter.fragmented
    assert meter.unfinished < 1000
    usual = FrameMeter()
    usual.feed(frame(0x2, bytes(16_384), fin=False) + frame(0x0, bytes(16_384), fin=False) * 500)
    assert not usual.fragmented
