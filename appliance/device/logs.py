"""Log lines: one an event; for a person on a terminal, structured in the journal under systemd.

Without systemd-python the journal gets lines that begin with their severity.

A record may carry `extra={"camera": …, "code": …, "reason": …, "frame_id": …}`, which become journal fields, and
`"kind"`, for lines that could come with every frame: of a kind and camera one line in ten seconds is written, of a kind
at most thirty, and the next one says how many were held back. What happens once has no kind.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from appliance.ports import Clock

FIELDS = ("camera", "frame_id", "code", "reason", "cooling_state", "kind")
_EVERY_S = 10.0
_MOST_OF_A_KIND = 30
_SEVERITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


class Sparing(logging.Filter):
    """Lets one record of a kind and camera through in ten seconds, and of a kind no more than thirty, whatever the
    cameras call themselves.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._last: dict[tuple[str, str], tuple[float, int]] = {}
        self._rounds: dict[str, tuple[float, int, int]] = {}
        """By kind: when the present ten seconds began, what was written in them, and what was beyond that."""

    def filter(self, record: logging.LogRecord) -> bool:
        kind = getattr(record, "kind", None)
        if kind is None:
            return True
        key = (str(kind), str(getattr(record, "camera", "")))
        now = self._clock()
        last, held = self._last.get(key, (float("-inf"), 0))
        if now - last < _EVERY_S:
            self._last[key] = (last, held + 1)
            return False
        began, written, beyond = self._rounds.get(key[0], (now, 0, 0))
        if now - began >= _EVERY_S:
            began, written = now, 0
        if written >= _MOST_OF_A_KIND:
            self._rounds[key[0]] = began, written, beyond + 1
            return False
        self._rounds[key[0]] = began, written + 1, 0
        held += beyond
        if len(self._last) > 1000:
            self._last.clear()
        self._last[key] = (now, 0)
        if held:
            record.msg = f"{record.getMessage()} ({held} more like this were not shown)"
            record.args = ()
        return True


class Prefixed(logging.Formatter):
    """`<3>` before each line, by which journald knows how severe it is (sd-daemon(3)): for where its library is not."""

    def format(self, record: logging.LogRecord) -> str:
        severity = next((number for least, number in _SEVERITIES if record.levelno >= least), 7)
        return "\n".join(f"<{severity}>{line}" for line in super().format(record).splitlines())


def set_up(level: str, environ: Mapping[str, str] = os.environ) -> None:
    """Send the appliance's log to the journal if systemd reads us, else to the terminal."""
    handler = (_journal() or _stderr(Prefixed())) if journal_reads(environ) else _stderr(_for_a_person())
    handler.addFilter(Sparing())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
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
    return logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")


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
        ours = {name.upper(): str(record[name]) for name in FIELDS if record.get(name) is not None}
        journal.send(message, **{name: value for name, value in record.items() if name.isupper()}, **ours)

    handler: logging.Handler = journal.JournalHandler(sender_function=send, SYSLOG_IDENTIFIER="appliance")
    return handler
