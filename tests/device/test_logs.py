"""The log: rate limits, escaping, tracebacks, and output for terminals and the journal."""

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
from appliance.device.logs import RateLimit, SeverityPrefix
from appliance.errors import BadFrame
from appliance.web.form import read_form
from tests.fakes import FakeClock

Log = Callable[..., None]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def lines(clock: FakeClock) -> tuple[Log, Callable[[], list[str]]]:
    """A function that logs a line, and one that returns the lines written since its last call."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.addFilter(RateLimit(clock))
    logger = logging.Logger("test")
    logger.addHandler(handler)

    def log(text: str, *values: object, **extra: object) -> None:
        logger.warning(text, *values, extra=extra)

    def since() -> list[str]:
        text = written.getvalue()
        written.seek(0)
        written.truncate()
        return text.splitlines()

    return log, since


def test_lines_without_a_kind_are_all_written(lines: tuple[Log, Callable[[], list[str]]]) -> None:
    log, since = lines
    for number in range(3):
        log("line %d", number)
    assert since() == ["line 0", "line 1", "line 2"]


def test_cameras_with_ever_changing_names_do_not_flood_the_log(
    lines: tuple[Log, Callable[[], list[str]]], clock: FakeClock
) -> None:
    log, since = lines
    for number in range(1000):
        log("a bad frame", kind="bad_frame", camera=f"camera-{number}")
        clock.pass_(0.001)
    assert len(since()) == 20
    log("an engine that failed", kind="engine", camera="gate")
    clock.pass_(60)
    log("a bad frame", kind="bad_frame", camera="camera-2000")
    assert since() == ["an engine that failed", "a bad frame (980 similar lines suppressed)"]


def test_a_flood_is_written_evenly_after_its_start(
    lines: tuple[Log, Callable[[], list[str]]], clock: FakeClock
) -> None:
    log, since = lines
    for _ in range(20):
        log("a bad frame")
    since()
    for _ in range(12):  # a minute
        for _ in range(50):
            log("a bad frame")
            clock.pass_(0.1)
        assert len(since()) <= 2


def test_a_log_statement_without_a_kind_is_limited_too(
    lines: tuple[Log, Callable[[], list[str]]], clock: FakeClock
) -> None:
    log, since = lines
    for number in range(31):
        if number == 30:
            clock.pass_(60)
        log("camera %d connected", number)
    assert len(since()) == 21
    log("a line of another statement")
    assert since() == ["a line of another statement"]


def test_one_line_per_kind_in_ten_seconds_is_written_and_the_next_counts_the_rest(
    lines: tuple[Log, Callable[[], list[str]]], clock: FakeClock
) -> None:
    log, since = lines
    for number in range(5):
        log("slow frame: %d%%", number, kind="slow_frame")
        clock.pass_(2)
    assert since() == ["slow frame: 0%"]
    log("slow frame: %d%%", 9, kind="slow_frame")
    assert since() == ["slow frame: 9% (4 similar lines suppressed)"]
    clock.pass_(10)
    log("slow frame: %d%%", 10, kind="slow_frame")
    assert since() == ["slow frame: 10%"]


def test_kinds_and_cameras_are_counted_separately(lines: tuple[Log, Callable[[], list[str]]]) -> None:
    log, since = lines
    for _ in range(2):
        log("a", kind="slow_frame", camera="gate")
        log("b", kind="slow_frame", camera="yard")
        log("c", kind="engine", camera="gate")
        log("d", kind="engine")
    assert since() == ["a", "b", "c", "d"]


FORGED = "bye\n12:00:00 ERROR   the disk is full \x1b[31m\r\u2028\u202e\x85"


def test_text_from_a_client_stays_on_its_line() -> None:
    record = logging.LogRecord("appliance", logging.INFO, "", 0, "camera left (%s)", (FORGED,), None)
    for formatter in (logs.Escaping(), SeverityPrefix()):
        text = formatter.format(record)
        assert text.isprintable()
        assert r"bye\n12:00:00 ERROR   the disk is full \x1b[31m\r\u2028\u202e\x85" in text


def test_the_text_of_an_exception_cannot_look_like_a_line() -> None:
    try:
        raise ValueError(FORGED)
    except ValueError:
        record = logging.LogRecord("appliance", logging.ERROR, "", 0, "failed", None, sys.exc_info())
    first, *rest = logs.Escaping().format(record).split("\n")
    assert first == "failed"
    assert all(line.startswith("  ") and line.isprintable() for line in rest)
    assert all(line.startswith("<3>  ") for line in SeverityPrefix().format(record).split("\n")[1:])


def test_the_length_of_a_line_is_limited() -> None:
    record = logging.LogRecord("appliance", logging.ERROR, "", 0, "%s", ("x" * 1_000_000,), None)
    assert logs.Escaping().format(record) == "x" * 1000 + "… (999000 more characters)"


class TestExceptions:
    """Exceptions logged by aiohttp, engineio, socketio and asyncio, and by the service's own code."""

    @pytest.fixture
    def logged(self, clock: FakeClock) -> tuple[Callable[..., None], Callable[[], str]]:
        written = io.StringIO()
        handler = logging.StreamHandler(written)
        handler.setFormatter(logs.Escaping("%(levelname)s %(message)s"))
        handler.addFilter(logs.ShortExceptions(clock))
        handler.addFilter(RateLimit(clock))

        def log(text: str, error: Exception, name: str = "aiohttp.server", **extra: object) -> None:
            logger = logging.Logger(name)
            logger.addHandler(handler)
            logger.error(text, exc_info=error, extra=extra)

        def since() -> str:
            text = written.getvalue()
            written.seek(0)
            written.truncate()
            return text

        return log, since

    def test_malformed_requests_are_one_line_in_ten_seconds(self, logged: Any, clock: FakeClock) -> None:
        log, since = logged
        errors = [ValueError(f"400, message:\n  no host {number}") for number in range(3)]
        for error in errors:
            log("Error handling request", error)
        assert since() == "WARNING Error handling request: ValueError: 400, message: no host 0\n"
        clock.pass_(10)
        log("Error handling request", KeyError("x"))
        assert since() == "WARNING Error handling request: KeyError: 'x' (2 similar lines suppressed)\n"

    def test_an_error_in_own_code_keeps_its_traceback_once_in_ten_minutes(self, logged: Any, clock: FakeClock) -> None:
        log, since = logged
        for number in range(4):
            try:
                logs.escaped(None)  # type: ignore[arg-type]
            except TypeError as error:
                log("Error handling request", error)
            text = since()
            assert text.startswith("ERROR Error handling request")
            assert ("Traceback" in text) is (number in (0, 3)), number
            clock.pass_(10 if number < 2 else 600)

    def test_an_own_error_with_a_kind_keeps_its_traceback_once_in_ten_minutes(
        self, logged: Any, clock: FakeClock
    ) -> None:
        log, since = logged
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

    def test_an_appliance_error_has_no_traceback(self, logged: Any) -> None:
        log, since = logged
        try:
            read_form(b"", "")
        except BadFrame as error:
            log("Unknown receive error", error)
        assert "Traceback" not in since()


def test_on_a_terminal_a_line_has_time_and_level(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    logs.set_up("info")
    logging.getLogger("appliance.flow").info("camera %s is slow", "gate")
    logging.getLogger("appliance.flow").debug("not this one")
    logging.getLogger("aiohttp").info("nor that of a library")
    (line,) = capsys.readouterr().err.splitlines()
    assert line[2] == line[5] == ":"
    assert line.endswith("INFO    camera gate is slow")


def test_if_stderr_does_not_belong_to_the_journal_the_terminal_format_is_used(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell inside a unit inherits the variable."""
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    logs.set_up("info")
    logging.getLogger("appliance").info("here I am")
    assert capsys.readouterr().err.endswith("INFO    here I am\n")


def test_the_level_can_change_at_run_time(capsys: pytest.CaptureFixture[str]) -> None:
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
def test_without_the_journal_library_every_line_starts_with_its_severity(level: int, severity: int) -> None:
    text = SeverityPrefix().format(logging.LogRecord("appliance", level, "", 0, "too hot", None, None))
    assert text == f"<{severity}>too hot"


_AS_A_UNIT = """
import json, logging, os, socket, sys
stderr = os.fstat(2)
os.environ["JOURNAL_STREAM"] = f"{stderr.st_dev}:{stderr.st_ino}"
from appliance.device import logs
"""


def test_a_unit_without_the_journal_library_writes_prefixed_lines() -> None:
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
logging.getLogger("appliance.flow").warning("camera %s sent an invalid frame: %s", "gate", "cut off", extra={
    "kind": "bad_frame", "camera": "gate", "frame_id": 7, "code": "image_corrupt", "reason": "cut off",
    "cooling_state": 0})
journal.settimeout(10)
print(json.dumps(dict(line.split("=", 1) for line in journal.recv(1 << 16).decode().splitlines())))
"""
)


def test_an_error_of_a_frame_is_one_journal_entry_with_its_fields() -> None:
    pytest.importorskip("systemd.journal", reason="systemd-python is not installed (extra 'systemd')")
    inside = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*inside, "true"], capture_output=True).returncode:
        pytest.skip("mount namespaces are not permitted, so no fake journal can be installed")
    done = subprocess.run(
        [*inside, sys.executable, "-c", _IN_A_JOURNAL_OF_ITS_OWN], capture_output=True, text=True, timeout=60
    )
    entry = json.loads(done.stdout)
    expected = {
        "MESSAGE": "camera gate sent an invalid frame: cut off",
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
