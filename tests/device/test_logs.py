"""The log says each thing once in a while, and how often it was left out."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator

import pytest

from appliance.device import logs
from appliance.device.logs import Sparing
from tests.fakes import FakeClock

Say = Callable[..., None]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def lines(clock: FakeClock) -> tuple[Say, Callable[[], list[str]]]:
    """Log something; what was written since the last look."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.addFilter(Sparing(clock))
    log = logging.Logger("test")
    log.addHandler(handler)

    def say(text: str, *values: object, **extra: object) -> None:
        log.warning(text, *values, extra=extra)

    def since() -> list[str]:
        text = written.getvalue()
        written.seek(0)
        written.truncate()
        return text.splitlines()

    return say, since


def test_lines_without_a_kind_are_all_written(lines: tuple[Say, Callable[[], list[str]]]) -> None:
    say, since = lines
    for number in range(3):
        say("line %d", number)
    assert since() == ["line 0", "line 1", "line 2"]


def test_of_one_kind_one_line_in_ten_seconds_is_written_and_the_next_says_what_was_held(
    lines: tuple[Say, Callable[[], list[str]]], clock: FakeClock
) -> None:
    say, since = lines
    for number in range(5):
        say("slow frame: %d%%", number, kind="slow_frame")
        clock.pass_(2)
    assert since() == ["slow frame: 0%"]
    say("slow frame: %d%%", 9, kind="slow_frame")
    assert since() == ["slow frame: 9% (4 more like this were not shown)"]
    clock.pass_(10)
    say("slow frame: %d%%", 10, kind="slow_frame")
    assert since() == ["slow frame: 10%"]


def test_kinds_and_cameras_are_counted_apart(lines: tuple[Say, Callable[[], list[str]]]) -> None:
    say, since = lines
    for _ in range(2):
        say("a", kind="slow_frame", camera="gate")
        say("b", kind="slow_frame", camera="yard")
        say("c", kind="engine", camera="gate")
        say("d", kind="engine")
    assert since() == ["a", "b", "c", "d"]


def test_what_is_remembered_is_bounded(lines: tuple[Say, Callable[[], list[str]]], clock: FakeClock) -> None:
    say, since = lines
    for number in range(5000):
        say("x", kind="bad_frame", camera=f"camera{number}")
    assert len(since()) == 5000
    clock.pass_(1)
    say("again", kind="bad_frame", camera="camera4999")
    assert since() == []


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """Logging as it is set up for a process, given back afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("appliance")
    before = root.handlers[:], root.level, ours.level
    yield root
    root.handlers[:], level, our_level = before
    root.setLevel(level)
    ours.setLevel(our_level)


def test_on_a_terminal_a_line_has_its_time_and_its_level(
    root: logging.Logger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    logs.set_up("info")
    logging.getLogger("appliance.flow").info("camera %s is slow", "gate")
    logging.getLogger("appliance.flow").debug("not this one")
    logging.getLogger("aiohttp").info("nor that of a library")
    (line,) = capsys.readouterr().err.splitlines()
    assert line[2] == line[5] == ":"
    assert line.endswith("INFO    camera gate is slow")


def test_under_systemd_the_fields_reach_the_journal(root: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("systemd.journal", reason="systemd-python is not installed (extra 'systemd')")
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    logs.set_up("info")
    (handler,) = root.handlers
    assert not isinstance(handler, logging.StreamHandler)


def test_under_systemd_without_its_library_the_terminal_is_used(
    root: logging.Logger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        from systemd import journal  # noqa: F401
    except ImportError:
        pass
    else:
        pytest.skip("systemd-python is installed")
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    logs.set_up("info")
    logging.getLogger("appliance").info("here I am")
    assert "here I am" in capsys.readouterr().err
