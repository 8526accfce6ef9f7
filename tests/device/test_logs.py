"""The log says each thing once in a while, and how often it was left out."""

from __future__ import annotations

import io
import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from appliance.device import logs
from appliance.device.logs import Prefixed, Sparing
from appliance.errors import BadFrame
from appliance.web.form import read_form
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


def test_cameras_with_ever_new_names_do_not_fill_the_log(
    lines: tuple[Say, Callable[[], list[str]]], clock: FakeClock
) -> None:
    say, since = lines
    for number in range(1000):
        say("a bad frame", kind="bad_frame", camera=f"camera-{number}")
        clock.pass_(0.001)
    assert len(since()) == 20
    say("an engine that failed", kind="engine", camera="gate")
    clock.pass_(60)
    say("a bad frame", kind="bad_frame", camera="camera-2000")
    assert since() == ["an engine that failed", "a bad frame (980 more like this were not shown)"]


def test_a_statement_without_a_kind_fills_no_log_either(
    lines: tuple[Say, Callable[[], list[str]]], clock: FakeClock
) -> None:
    say, since = lines
    for number in range(31):
        if number == 30:
            clock.pass_(60)
        say("camera %d connected", number)
    assert len(since()) == 21
    say("what another statement says")
    assert since() == ["what another statement says"]


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


FORGED = "bye\n12:00:00 ERROR   the disk is full \x1b[31m\r\u2028\u202e\x85"


def test_what_a_client_says_stays_on_its_line() -> None:
    record = logging.LogRecord("appliance", logging.INFO, "", 0, "camera left (%s)", (FORGED,), None)
    for formatter in (logs.Escaping(), Prefixed()):
        text = formatter.format(record)
        assert text.isprintable()
        assert r"bye\n12:00:00 ERROR   the disk is full \x1b[31m\r\u2028\u202e\x85" in text


def test_what_an_exception_says_looks_like_no_line() -> None:
    try:
        raise ValueError(FORGED)
    except ValueError:
        record = logging.LogRecord("appliance", logging.ERROR, "", 0, "failed", None, sys.exc_info())
    first, *rest = logs.Escaping().format(record).split("\n")
    assert first == "failed"
    assert all(line.startswith("  ") and line.isprintable() for line in rest)
    assert all(line.startswith("<3>  ") for line in Prefixed().format(record).split("\n")[1:])


def test_a_line_is_bounded() -> None:
    record = logging.LogRecord("appliance", logging.ERROR, "", 0, "%s", ("x" * 1_000_000,), None)
    assert logs.Escaping().format(record) == "x" * 1000 + "… (999000 more characters)"


class TestExceptions:
    """What aiohttp, engineio, socketio and asyncio write, and our own code."""

    @pytest.fixture
    def say(self, clock: FakeClock) -> tuple[Callable[..., None], Callable[[], str]]:
        written = io.StringIO()
        handler = logging.StreamHandler(written)
        handler.setFormatter(logs.Escaping("%(levelname)s %(message)s"))
        handler.addFilter(logs.Exceptions(clock))
        handler.addFilter(Sparing(clock))

        def say(text: str, error: Exception, logger: str = "aiohttp.server", **extra: object) -> None:
            log = logging.Logger(logger)
            log.addHandler(handler)
            log.error(text, exc_info=error, extra=extra)

        def since() -> str:
            text = written.getvalue()
            written.seek(0)
            written.truncate()
            return text

        return say, since

    def test_a_clients_malformed_request_is_one_line_in_ten_seconds(self, say: Any, clock: FakeClock) -> None:
        log, since = say
        errors = [ValueError(f"400, message:\n  no host {number}") for number in range(3)]
        for error in errors:
            log("Error handling request", error)
        assert since() == "WARNING Error handling request: ValueError: 400, message: no host 0\n"
        clock.pass_(10)
        log("Error handling request", KeyError("x"))
        assert since() == "WARNING Error handling request: KeyError: 'x' (2 more like this were not shown)\n"

    def test_an_error_in_our_own_code_keeps_its_traceback_once_in_ten_minutes(self, say: Any, clock: FakeClock) -> None:
        log, since = say
        for number in range(4):
            try:
                logs.escaped(None)  # type: ignore[arg-type]
            except TypeError as error:
                log("Error handling request", error)
            text = since()
            assert text.startswith("ERROR Error handling request")
            assert ("Traceback" in text) is (number in (0, 3)), number
            clock.pass_(10 if number < 2 else 600)

    def test_a_failure_of_ours_that_comes_with_every_frame_keeps_its_traceback_as_seldom(
        self, say: Any, clock: FakeClock
    ) -> None:
        log, since = say
        texts = []
        for _ in range(3):
            log("a client's event failed", ValueError("x"), "appliance.web", kind="handler")
            texts.append(since())
            clock.pass_(10)
        assert texts == [
            "ERROR a client's event failed\n  ValueError: x\n",
            *["ERROR a client's event failed: ValueError: x\n"] * 2,
        ]
        for _ in range(2):
            log("the service failed", ValueError("x"), "appliance.service.run")
            assert since() == "ERROR the service failed\n  ValueError: x\n"

    def test_an_error_with_a_meaning_needs_no_traceback(self, say: Any) -> None:
        log, since = say
        try:
            read_form(b"", "")
        except BadFrame as error:
            log("Unknown receive error", error)
        assert "Traceback" not in since()


def test_on_a_terminal_a_line_has_its_time_and_its_level(
    own_logging: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    logs.set_up("info")
    logging.getLogger("appliance.flow").info("camera %s is slow", "gate")
    logging.getLogger("appliance.flow").debug("not this one")
    logging.getLogger("aiohttp").info("nor that of a library")
    (line,) = capsys.readouterr().err.splitlines()
    assert line[2] == line[5] == ":"
    assert line.endswith("INFO    camera gate is slow")


def test_where_stderr_is_not_the_journals_a_person_reads_it(
    own_logging: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell inside a unit inherits the variable."""
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    logs.set_up("info")
    logging.getLogger("appliance").info("here I am")
    assert capsys.readouterr().err.endswith("INFO    here I am\n")


def test_the_level_can_change_while_it_runs(own_logging: None, capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("error")
    logging.getLogger("appliance").warning("not yet")
    logs.set_level("warning")
    logging.getLogger("appliance").warning("but now")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("but now")


@pytest.mark.parametrize(
    ("level", "severity"),
    [(logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.DEBUG, 7)],
)
def test_without_the_journals_library_every_line_says_how_severe_it_is(level: int, severity: int) -> None:
    text = Prefixed().format(logging.LogRecord("appliance", level, "", 0, "said", None, None))
    assert text == f"<{severity}>said"


_AS_A_UNIT = """
import json, logging, os, socket, sys
stderr = os.fstat(2)
os.environ["JOURNAL_STREAM"] = f"{stderr.st_dev}:{stderr.st_ino}"
from appliance.device import logs
"""


def test_a_unit_without_the_journals_library_writes_prefixed_lines() -> None:
    program = _AS_A_UNIT + (
        "sys.modules['systemd'] = None\n"  # as if it were not installed
        "logs.set_up('info')\n"
        "logging.getLogger('appliance').error('too hot')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stderr == "<3>too hot\n"


_IN_A_JOURNAL_OF_ITS_OWN = (
    _AS_A_UNIT
    + """
journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
os.makedirs("/run/systemd/journal")
journal.bind("/run/systemd/journal/socket")
logs.set_up("info")
logging.getLogger("appliance.flow").warning("a frame of camera %s is no use: %s", "gate", "cut off", extra={
    "kind": "bad_frame", "camera": "gate", "frame_id": 7, "code": "image_corrupt", "reason": "cut off",
    "cooling_state": 0})
journal.settimeout(10)
print(json.dumps(dict(line.split("=", 1) for line in journal.recv(1 << 16).decode().splitlines())))
"""
)


def test_a_frames_error_reaches_the_journal_as_one_entry_with_its_fields() -> None:
    pytest.importorskip("systemd.journal", reason="systemd-python is not installed (extra 'systemd')")
    inside = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*inside, "true"], capture_output=True).returncode:
        pytest.skip("this machine gives no mount namespace, in which to be the journal")
    done = subprocess.run(
        [*inside, sys.executable, "-c", _IN_A_JOURNAL_OF_ITS_OWN], capture_output=True, text=True, timeout=60
    )
    entry = json.loads(done.stdout)
    expected = {
        "MESSAGE": "a frame of camera gate is no use: cut off",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "appliance",
        "LOGGER": "appliance.flow",
        "KIND": "bad_frame",
        "CAMERA": "gate",
        "FRAME_ID": "7",
        "CODE": "image_corrupt",
        "REASON": "cut off",
        "COOLING_STATE": "0",
    }
    assert entry.items() >= expected.items()
    assert all(name == name.upper() for name in entry)
