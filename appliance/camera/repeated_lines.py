"""Which of many equal log lines are written: a device may be off for a week, and the log is on an SD card."""

from __future__ import annotations

import time
from collections import OrderedDict

from appliance.ports import Clock

_AGAIN_S = 600.0
_MOST = 100


class RepeatedLines:
    """The lines that were written lately. Each is written at once, and while it repeats every ten minutes."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._written: OrderedDict[str, float] = OrderedDict()

    def due(self, line: str) -> bool:
        """Whether to write this line now; it then counts as written."""
        now_s = self._clock()
        if now_s - self._written.get(line, float("-inf")) < _AGAIN_S:
            return False
        self._written[line] = now_s
        self._written.move_to_end(line)
        if len(self._written) > _MOST:
            self._written.popitem(last=False)
        return True

    def clear(self) -> None:
        """What is wrong is over: the next line is news."""
        self._written.clear()
