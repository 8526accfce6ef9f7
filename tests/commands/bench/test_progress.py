"""Progress: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io

from appliance.commands.bench.progress import Progress
from tests.fakes import FakeClock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def output_on(stream: io.StringIO) -> str:
    clock = FakeClock()
    progress = Progress(stream, 10.0, clock)
    progress.stage("yolo11n 640x384")
    for _ in range(5):
        clock.pass_(1.0)
        progress.advance(1.0)
    progress.line("yolo11n 640x384: 24.1 ms per frame, 83.0 fps")
    progress.clear()
    return stream.getvalue()


def test_without_a_terminal_only_permanent_lines_are_written() -> None:
    assert output_on(io.StringIO()) == "yolo11n 640x384: 24.1 ms per frame, 83.0 fps\n"


def test_a_terminal_gets_one_line_that_is_redrawn() -> None:
    out = output_on(Terminal())
    assert out.count("\n") == 1
    assert "  0%  yolo11n 640x384  10 s left" in out
    assert f"{'█' * 12}{'░' * 12}  50%  yolo11n 640x384  5 s left" in out
    assert out.endswith("\r\x1b[K")


def test_the_bar_is_redrawn_at_a_limited_rate() -> None:
    stream, clock = Terminal(), FakeClock()
    progress = Progress(stream, 10.0, clock)
    progress.stage("x")
    for _ in range(1000):
        clock.pass_(0.001)
        progress.advance(0.001)
    assert 4 <= stream.getvalue().count("\r") <= 7


def test_the_bar_fits_the_terminal() -> None:
    stream = Terminal()
    Progress(stream, 0.0, FakeClock()).stage("long " * 100)
    assert len(stream.getvalue()) < 200
