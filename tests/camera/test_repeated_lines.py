"""Lines that repeat are written now and then."""

from __future__ import annotations

from appliance.camera.repeated_lines import RepeatedLines
from tests.fakes import FakeClock


def test_a_line_is_written_at_once_and_while_it_repeats_every_ten_minutes() -> None:
    clock = FakeClock(0.0)
    lines = RepeatedLines(clock)
    written = []
    for second in range(3600):
        clock.now_s = float(second)
        if lines.due("refused"):
            written.append(second)
        if second == 5:
            assert lines.due("another reason")
    assert written == [0, 600, 1200, 1800, 2400, 3000]
    lines.clear()
    assert lines.due("refused")


def test_the_memory_of_lines_is_bounded() -> None:
    lines = RepeatedLines(FakeClock(0.0))
    assert all(lines.due(f"file {number}") for number in range(10_000))
    assert len(lines._written) == 100
