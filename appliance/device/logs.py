"""Log lines: one an event; for a person on a terminal, structured in the journal under systemd.

A record may carry `extra={"camera": …, "code": …, "reason": …, "frame_id": …}`, which become journal fields, and
`"kind"`: of one kind at most one line in ten seconds is written, and the next one says how many were held back.
"""

from __future__ import annotations

import logging
import os
import sys
import time

from appliance.ports import Clock

FIELDS = ("camera", "frame_id", "code", "reason", "cooling_state", "kind")
_EVERY_S = 10.0


class Sparing(logging.Filter):
    """Lets one record of a kind (and camera) through in ten seconds."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._last: dict[tuple[str, str], tuple[float, int]] = {}

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
        if len(self._last) > 1000:
            self._last.clear()
        self._last[key] = (now, 0)
        if held:
            record.msg = f"{record.getMessage()} ({held} more like this were not shown)"
            record.args = ()
        return True


def set_up(level: str) -> None:
    """Send the appliance's log to the journal if systemd reads us, else to the terminal."""
    handler = _journal() if "JOURNAL_STREAM" in os.environ else None
    if handler is None:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    handler.addFilter(Sparing())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("appliance").setLevel(level.upper())


def _journal() -> logging.Handler | None:
    try:
        from systemd import journal
    except ImportError:
        return None

    class Structured(journal.JournalHandler):  # type: ignore[misc]  # systemd-python has no types
        """Adds our fields in capitals, as the journal wants them."""

        def emit(self, record: logging.LogRecord) -> None:
            for name in FIELDS:
                value = getattr(record, name, None)
                if value is not None:
                    setattr(record, name.upper(), value)
            super().emit(record)

    return Structured(SYSLOG_IDENTIFIER="appliance")
