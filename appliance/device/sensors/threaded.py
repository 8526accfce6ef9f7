"""A sensor group that is read in its own thread, so that a hung driver blocks nothing else.

Rules of this file:
- A thread lives for one reading. While it hangs, its group is not read again, so each group has at most one thread.
- A round waits only for the groups that it started, for a limited time, and never for one that hung before.
- A late reading is used when it arrives. Until then the previous one stays, with its old time; after ten seconds the
  values are unknown.
- Files are searched for once a minute; between searches only the files found are read.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Generic

from appliance.device.sensors.group import Group, GroupReading, unknowns
from appliance.ports import Clock

log = logging.getLogger(__name__)

_SILENT_AFTER_S = 10.0
_FIND_EVERY_S = 60.0


class ThreadedGroup(Generic[Group]):
    """Reads one group. `find` returns the function that reads it; `period_s` 0: every round."""

    def __init__(
        self,
        empty: Group,
        find: Callable[[], Callable[[], GroupReading[Group]]],
        *,
        clock: Clock,
        period_s: float = 0.0,
    ) -> None:
        self.name = type(empty).__name__.lower()
        self._empty: Group = empty
        self._find: Callable[[], Callable[[], GroupReading[Group]]] = find
        self._clock, self._period_s = clock, period_s
        self._read: Callable[[], GroupReading[Group]] | None = None
        self._found_s = self._started_s = float("-inf")
        self._idle = threading.Event()
        self._idle.set()
        self._failed = False
        self._last: GroupReading[Group] = self._unknown(empty, "not read yet")

    def start(self) -> bool:
        """Start a reading if one is due and none is running; return whether it started."""
        now = self._clock()
        if not self._idle.is_set() or now - self._started_s < self._period_s:
            return False
        self._started_s = now
        self._idle.clear()
        threading.Thread(target=self._run, name=f"sensors {self.name}", daemon=True).start()
        return True

    def wait(self, timeout_s: float) -> None:
        """Wait until the running reading ends."""
        self._idle.wait(max(0.0, timeout_s))

    def latest(self) -> GroupReading[Group]:
        """Return the latest reading."""
        last, silent_s = self._last, self._clock() - self._started_s
        if not self._idle.is_set() and silent_s >= _SILENT_AFTER_S:
            return self._unknown(last.group, f"no response for {silent_s:.0f} s")
        return last

    def _run(self) -> None:
        try:
            now = self._clock()
            if self._read is None or now - self._found_s >= _FIND_EVERY_S:
                self._read, self._found_s = self._find(), now
            found = self._read()
            self._last = GroupReading(replace(found.group, at_s=self._clock()), found.why)
            self._failed = False
        except Exception as error:
            if not self._failed:
                log.exception("cannot read the sensors: group=%s", self.name)
            self._failed = True
            self._last = self._unknown(self._last.group, f"cannot be read ({type(error).__name__}); see the log")
        finally:
            self._idle.set()

    def _unknown(self, last: Group, reason: str) -> GroupReading[Group]:
        return GroupReading(replace(self._empty, at_s=last.at_s), dict.fromkeys(unknowns(self._empty), reason))
