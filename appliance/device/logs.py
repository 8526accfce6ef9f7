"""The log: one line per event, as text on a terminal, with structured fields in the journal under systemd.

Without systemd-python, lines for the journal start with their severity.

Rules of this file:
- `extra={"camera": …, "code": …, "reason": …, "frame_id": …}` becomes journal fields. `"kind"` is for lines that could
  appear with every frame: one line per kind and camera in ten seconds; per kind at most twenty in a row, then twenty a
  minute; and the next line states how many were suppressed. Lines about single events have no kind; each log statement
  is limited to twenty lines in a row and twenty a minute as well.
- All text is escaped here, in every line and field, so that client data cannot forge or colour a line. No other module
  has to escape it. The length of a line is limited.
- A library's lines have one kind per logger. An exception raised inside a web library is a client's malformed request:
  one line without a traceback.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from appliance.errors import ApplianceError
from appliance.ports import Clock
from appliance.token_bucket import TokenBucket

FIELDS = ("camera", "frame_id", "code", "reason", "cooling_state", "kind", "action", "who", "address", "ok")
_EVERY_S = 10.0
_MAX_AT_ONCE, _PER_S = 20, 20 / 60
"""Lines of one kind that are written in a row, and per second after that."""
_TRACEBACK_EVERY_S = 600.0
"""Time between two tracebacks of one kind: they are alike."""
_MAX_TEXT = 1000
_MAX_TRACEBACK = 60
"""Number of lines kept, from the end."""
_PACKAGE = "appliance"
_WEB = {"aiohttp", "engineio", "socketio"}
_OWN_FOLDER = str(Path(__file__).parent.parent) + os.sep
_SELF_WRITING = ("engineio.server", "socketio.server", "engineio.client", "socketio.client")
"""Loggers that write to stderr themselves, bypassing this setup, unless they have a level."""
_SEVERITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


def escaped(text: str) -> str:
    """Put a text on one line: escape unprintable characters, and cut it if it is very long."""
    more = len(text) - _MAX_TEXT
    if more > 0:
        text = text[:_MAX_TEXT]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return f"{text}… ({more} more characters)" if more > 0 else text


class ShortExceptions(logging.Filter):
    """Shortens exceptions to one line, and adds a kind to the lines of libraries.

    A traceback stays if the service's own code failed: once in ten minutes per kind, and always without a kind.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._traced_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        own = record.name.partition(".")[0] == _PACKAGE
        if not own:
            own = (
                error is not None and not isinstance(error, ApplianceError) and _raised_by_own_code(error.__traceback__)
            )
            record.__dict__["kind"] = f"{record.name} {type(error).__name__}" if own else record.name
        kind = getattr(record, "kind", None)
        if error is None or kind is None:
            return True
        now, key = self._clock(), f"{kind} {type(error).__name__}"
        if own and now - self._traced_s.get(key, float("-inf")) >= _TRACEBACK_EVERY_S:
            self._traced_s[key] = now
            return True
        if not own:
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        what = " ".join(str(error).split())
        place = _place(error.__traceback__)
        record.msg = f"{record.getMessage()}: {type(error).__name__}{f': {what}' if what else ''}{place}"
        record.args, record.exc_info, record.exc_text = (), None, None
        return True


def _raised_by_own_code(traceback: TracebackType | None) -> bool:
    """Whether the service's own code raised the exception, rather than a web library.

    The innermost frame of either counts: middleware that passes a request on to a library is further out.
    """
    own = False
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if file.startswith(_OWN_FOLDER):
            own = True
        elif not _WEB.isdisjoint(file.split(os.sep)):
            own = False
        traceback = traceback.tb_next
    return own


def _place(traceback: TracebackType | None) -> str:
    """File and line where an exception was raised, for a line without a traceback."""
    if traceback is None:
        return ""
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    file = "/".join(traceback.tb_frame.f_code.co_filename.split(os.sep)[-2:])
    return f" ({file}:{traceback.tb_lineno})"


class RateLimit(logging.Filter):
    """Limits the log to one line per kind and camera in ten seconds, and per kind for all cameras to twenty at once and
    twenty a minute."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._last: dict[tuple[str, str], tuple[float, int]] = {}
        self._buckets: dict[str, TokenBucket] = {}
        """By kind: the lines that may be written."""
        self._suppressed: Counter[str] = Counter()
        """By kind: the lines that were suppressed since the last one."""

    def filter(self, record: logging.LogRecord) -> bool:
        kind = getattr(record, "kind", None)
        if kind is None:
            if record.levelno <= logging.DEBUG:
                return True
            return self._within_limit(record, f"{record.pathname}:{record.lineno}", 0)
        key = (str(kind), str(getattr(record, "camera", "")))
        now = self._clock()
        last, held = self._last.get(key, (float("-inf"), 0))
        if now - last < _EVERY_S:
            self._last[key] = (last, held + 1)
            return False
        if not self._within_limit(record, key[0], held):
            return False
        if len(self._last) > 1000:
            self._last.clear()
        self._last[key] = (now, 0)
        return True

    def _within_limit(self, record: logging.LogRecord, kind: str, held: int) -> bool:
        bucket = self._buckets.get(kind)
        if bucket is None:
            bucket = self._buckets[kind] = TokenBucket(_MAX_AT_ONCE, _PER_S, self._clock)
        if not bucket.take_if_any():
            self._suppressed[kind] += 1
            return False
        suppressed = held + self._suppressed.pop(kind, 0)
        if suppressed:
            record.msg = f"{record.getMessage()} ({suppressed} similar lines suppressed)"
            record.args = ()
        return True


class Escaping(logging.Formatter):
    """Writes one line per record and indents tracebacks, so that no text from a client can look like a line."""

    def format(self, record: logging.LogRecord) -> str:
        record.exc_text = None  # cached by another formatter
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # logging's name
        record.message = escaped(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # logging's name
        lines = super().formatException(ei).split("\n")[-_MAX_TRACEBACK:]
        return "\n".join("  " + escaped(line) for line in lines)


class SeverityPrefix(Escaping):
    """Prefixes each line with its severity for journald, such as `<3>` (sd-daemon(3)), if its library is missing."""

    def format(self, record: logging.LogRecord) -> str:
        severity = next((number for least, number in _SEVERITIES if record.levelno >= least), 7)
        return "\n".join(f"<{severity}>{line}" for line in super().format(record).split("\n"))


def set_up(level: str, environ: Mapping[str, str] = os.environ) -> None:
    """Send the log to the journal if stderr belongs to it, otherwise to the terminal."""
    handler = (_journal() or _stderr(SeverityPrefix())) if journal_reads(environ) else _stderr(_terminal_format())
    handler.addFilter(ShortExceptions())
    handler.addFilter(RateLimit())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in _SELF_WRITING:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    set_level(level)


def set_level(level: str) -> None:
    """Set the lowest severity to log from now on."""
    logging.getLogger("appliance").setLevel(level.upper())


def journal_reads(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether stderr belongs to the journal, checked as systemd.exec(5) recommends: a shell in a unit inherits the
    variables, but has a stderr of its own.
    """
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        stream = os.fstat(2)
    except OSError:
        return False
    return (device, inode) == (str(stream.st_dev), str(stream.st_ino))


def _terminal_format() -> logging.Formatter:
    return Escaping("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")


def _stderr(formatter: logging.Formatter) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    return handler


def _journal() -> logging.Handler | None:
    """The journal's own handler, with the fields in capitals as it requires; None without systemd-python."""
    try:
        from systemd import journal
    except ImportError:
        return None

    def send(message: str, /, **record: Any) -> None:
        fields = {name.upper(): escaped(str(record[name])) for name in FIELDS if record.get(name) is not None}
        journal.send(message, **{name: value for name, value in record.items() if name.isupper()}, **fields)

    handler: logging.Handler = journal.JournalHandler(sender_function=send, SYSLOG_IDENTIFIER="appliance")
    handler.setFormatter(Escaping("%(message)s"))
    return handler
