"""Log lines: one an event; for a person on a terminal, structured in the journal under systemd.

Without systemd-python the journal gets lines that begin with their severity.

Rules of this file:
- A record may carry `extra={"camera": …, "code": …, "reason": …, "frame_id": …}`, which become journal fields, and
  `"kind"`, for lines that could come with every frame: of a kind and camera one line in ten seconds is written, of a
  kind at most twenty a minute, and the next one says how many were held back. What happens once has no kind; of such
  a statement twenty lines a minute are written, too.
- Whatever a client sent is escaped here, in every line and field, so that none can forge or colour a line: no other
  place has to. A line is bounded in length.
- What a library logs is of one kind by its logger. An exception raised among the libraries of the web is a client's
  malformed request: one line without traceback.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from appliance.errors import ApplianceError
from appliance.ports import Clock

FIELDS = ("camera", "frame_id", "code", "reason", "cooling_state", "kind")
_EVERY_S = 10.0
_ROUND_S = 60.0
_MOST_OF_A_KIND = 20
_TRACEBACK_EVERY_S = 600.0
"""Between two tracebacks of one kind: the first says it all."""
_LONGEST_TEXT = 1000
_LONGEST_TRACEBACK = 60
"""Lines, the last ones."""
_US = "appliance"
_WEB = {"aiohttp", "engineio", "socketio"}
_OUR_FOLDER = str(Path(__file__).parent.parent) + os.sep
_SELF_WRITING = ("engineio.server", "socketio.server", "engineio.client", "socketio.client")
"""Loggers that write to stderr by themselves, past what is set up here, unless they have a level."""
_SEVERITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


def escaped(text: str, longest: int = _LONGEST_TEXT) -> str:
    """The text on one line: what is not printable as its escape, and what is beyond `longest` counted."""
    more = len(text) - longest
    if more > 0:
        text = text[:longest]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return f"{text}… ({more} more characters)" if more > 0 else text


class Exceptions(logging.Filter):
    """Makes one line of an exception, and gives all that a library logs a kind.

    The traceback is kept, once in ten minutes, where our own code failed; always where that has no kind, which happens
    once.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._traced_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        ours = record.name.partition(".")[0] == _US
        if not ours:
            ours = error is not None and not isinstance(error, ApplianceError) and _is_ours(error.__traceback__)
            record.__dict__["kind"] = f"{record.name} {type(error).__name__}" if ours else record.name
        kind = getattr(record, "kind", None)
        if error is None or kind is None:
            return True
        now, key = self._clock(), f"{kind} {type(error).__name__}"
        if ours and now - self._traced_s.get(key, float("-inf")) >= _TRACEBACK_EVERY_S:
            self._traced_s[key] = now
            return True
        if not ours:
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        what = " ".join(str(error).split())
        place = _place(error.__traceback__)
        record.msg = f"{record.getMessage()}: {type(error).__name__}{f': {what}' if what else ''}{place}"
        record.args, record.exc_info, record.exc_text = (), None, None
        return True


def _is_ours(traceback: TracebackType | None) -> bool:
    """Whether of all frames of the web's libraries and of our code the innermost is ours.

    A middleware that hands a request on to a library stands further out.
    """
    ours = False
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if file.startswith(_OUR_FOLDER):
            ours = True
        elif not _WEB.isdisjoint(file.split(os.sep)):
            ours = False
        traceback = traceback.tb_next
    return ours


def _place(traceback: TracebackType | None) -> str:
    """Where an exception was raised, for a line without a traceback."""
    if traceback is None:
        return ""
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    file = "/".join(traceback.tb_frame.f_code.co_filename.split(os.sep)[-2:])
    return f" ({file}:{traceback.tb_lineno})"


class Sparing(logging.Filter):
    """Lets one record of a kind and camera through in ten seconds, and of a kind no more than twenty a minute, whatever
    the cameras call themselves.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._last: dict[tuple[str, str], tuple[float, int]] = {}
        self._rounds: dict[str, tuple[float, int, int]] = {}
        """By kind: when the present minute began, what was written in it, and what was beyond that."""

    def filter(self, record: logging.LogRecord) -> bool:
        kind = getattr(record, "kind", None)
        if kind is None:
            if record.levelno <= logging.DEBUG:
                return True
            return self._within_its_minute(record, f"{record.pathname}:{record.lineno}", 0)
        key = (str(kind), str(getattr(record, "camera", "")))
        now = self._clock()
        last, held = self._last.get(key, (float("-inf"), 0))
        if now - last < _EVERY_S:
            self._last[key] = (last, held + 1)
            return False
        if not self._within_its_minute(record, key[0], held):
            return False
        if len(self._last) > 1000:
            self._last.clear()
        self._last[key] = (now, 0)
        return True

    def _within_its_minute(self, record: logging.LogRecord, kind: str, held: int) -> bool:
        now = self._clock()
        began, written, beyond = self._rounds.get(kind, (now, 0, 0))
        if now - began >= _ROUND_S:
            began, written = now, 0
        if written >= _MOST_OF_A_KIND:
            self._rounds[kind] = began, written, beyond + 1
            return False
        self._rounds[kind] = began, written + 1, 0
        if held + beyond:
            record.msg = f"{record.getMessage()} ({held + beyond} more like this were not shown)"
            record.args = ()
        return True


class Escaping(logging.Formatter):
    """One line a record, and a traceback's lines set in, so that no text of a client's can look like a line."""

    def format(self, record: logging.LogRecord) -> str:
        record.exc_text = None  # another formatter's
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # logging's name
        record.message = escaped(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # logging's name
        lines = super().formatException(ei).split("\n")[-_LONGEST_TRACEBACK:]
        return "\n".join("  " + escaped(line) for line in lines)


class Prefixed(Escaping):
    """`<3>` before each line, by which journald knows how severe it is (sd-daemon(3)): for where its library is not."""

    def format(self, record: logging.LogRecord) -> str:
        severity = next((number for least, number in _SEVERITIES if record.levelno >= least), 7)
        return "\n".join(f"<{severity}>{line}" for line in super().format(record).split("\n"))


def set_up(level: str, environ: Mapping[str, str] = os.environ) -> None:
    """Send the appliance's log to the journal if systemd reads us, else to the terminal."""
    handler = (_journal() or _stderr(Prefixed())) if journal_reads(environ) else _stderr(_for_a_person())
    handler.addFilter(Exceptions())
    handler.addFilter(Sparing())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in _SELF_WRITING:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    set_level(level)


def set_level(level: str) -> None:
    """The least severe line that is written from now on."""
    logging.getLogger("appliance").setLevel(level.upper())


def journal_reads(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether our stderr is the journal's, as systemd.exec(5) tells to find out: a shell in a unit inherits the
    variables, and has a stderr of its own.
    """
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        stream = os.fstat(2)
    except OSError:
        return False
    return (device, inode) == (str(stream.st_dev), str(stream.st_ino))


def _for_a_person() -> logging.Formatter:
    return Escaping("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")


def _stderr(formatter: logging.Formatter) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    return handler


def _journal() -> logging.Handler | None:
    """The journal's own handler, with our fields in capitals as it wants them; None without systemd-python."""
    try:
        from systemd import journal
    except ImportError:
        return None

    def send(message: str, /, **record: Any) -> None:
        ours = {name.upper(): escaped(str(record[name])) for name in FIELDS if record.get(name) is not None}
        journal.send(message, **{name: value for name, value in record.items() if name.isupper()}, **ours)

    handler: logging.Handler = journal.JournalHandler(sender_function=send, SYSLOG_IDENTIFIER="appliance")
    handler.setFormatter(Escaping("%(message)s"))
    return handler
