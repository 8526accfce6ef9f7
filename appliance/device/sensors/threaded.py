"""One group of sensors on a thread of its own, so that a driver that hangs holds up nothing else.

Rules of this file:
- A thread lives for one look. While it hangs its group is not asked again, so there is never more than one for each.
- Whoever takes a round waits for the groups that were asked in it, for a bounded time, and never for one that hung
  before.
- A late answer counts when it comes. Until then the one before it stands, with its old time; after ten seconds the
  values are unknown.
- Files are looked for once a minute; in between only what was found is read.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Generic

from appliance.device.sensors.group import Answer, Group, unknowns
from appliance.ports import Clock

log = logging.getLogger(__name__)

_SILENT_AFTER_S = 10.0
_FIND_EVERY_S = 60.0


class Watched(Generic[Group]):
    """A group's last answer. `find` gives what reads it; `period_s` 0 is every round."""

    def __init__(
        self,
        empty: Group,
        find: Callable[[], Callable[[], Answer[Group]]],
        *,
        clock: Clock,
        period_s: float = 0.0,
    ) -> None:
        self.name = type(empty).__name__.lower()
        self._empty: Group = empty
        self._find: Callable[[], Callable[[], Answer[Group]]] = find
        self._clock, self._period_s = clock, period_s
        self._read: Callable[[], Answer[Group]] | None = None
        self._found_s = self._asked_s = float("-inf")
        self._idle = threading.Event()
        self._idle.set()
        self._failed = False
        self._last: Answer[Group] = self._unknown(empty, "it has not answered yet")

    def ask(self) -> bool:
        """Begin a look if one is due and none is under way; whether one began."""
        now = self._clock()
        if not self._idle.is_set() or now - self._asked_s < self._period_s:
            return False
        self._asked_s = now
        self._idle.clear()
        threading.Thread(target=self._look, name=f"sensors {self.name}", daemon=True).start()
        return True

    def wait(self, timeout_s: float) -> None:
        """Until the look that is under way has ended."""
        self._idle.wait(max(0.0, timeout_s))

    def answer(self) -> Answer[Group]:
        """What is known now."""
        last, silent_s = self._last, self._clock() - self._asked_s
        if not self._idle.is_set() and silent_s >= _SILENT_AFTER_S:
            return self._unknown(last.group, f"did not answer for {silent_s:.0f} s")
        return last

    def _look(self) -> None:
        try:
            now = self._clock()
            if self._read is None or now - self._found_s >= _FIND_EVERY_S:
                self._read, self._found_s = self._find(), now
            found = self._read()
            self._last = Answer(replace(found.group, at_s=self._clock()), found.why)
            self._failed = False
        except Exception as error:
            if not self._failed:
                log.exception("%s: the sensors cannot be read", self.name)
            self._failed = True
            self._last = self._unknown(self._last.group, f"cannot be read ({type(error).__name__}); the log says more")
        finally:
            self._idle.set()

    def _unknown(self, last: Group, reason: str) -> Answer[Group]:
        return Answer(replace(self._empty, at_s=last.at_s), dict.fromkeys(unknowns(self._empty), reason))
