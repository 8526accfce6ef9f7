"""Worker threads: each takes a frame from the mailboxes, processes it, and reports the result.

Rules of this file:
- A frame stays on one thread from its bytes to its boxes, so that the engine never waits for the event loop.
- A thread keeps no state: a frame belongs to its camera until it is taken, and to the event loop once it is reported.
- The threads are daemons, so that a hung engine cannot prevent the process from exiting.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from appliance.flow.inference import Answer
from appliance.flow.mailboxes import Mailboxes
from appliance.ports import Clock
from appliance.values import Frame

Process = Callable[[Frame], Answer]
"""Processes a frame from bytes to boxes; slow. Any exception is reported as the result."""

Report = Callable[[Frame, "Answer | Exception"], None]
"""Passes a frame's result to the event loop; returns at once."""


class Workers:
    """Threads that work until the mailboxes are closed. `most`: returns how many frames may be in flight now."""

    def __init__(
        self, *, mailboxes: Mailboxes, process: Process, report: Report, most: Callable[[], int], clock: Clock
    ) -> None:
        self._mailboxes, self._process, self._report, self._most = mailboxes, process, report, most
        self._clock = clock
        self._began_s: list[float | None] = []
        """When each thread took its present frame. A thread writes only its own cell."""

    def grow_to(self, count: int) -> None:
        """Start threads until there are at least this many."""
        for number in range(len(self._began_s), count):
            self._began_s.append(None)
            threading.Thread(target=self._serve, args=(number,), name=f"frame-{number}", daemon=True).start()

    def longest_s(self) -> float:
        """Age of the oldest frame in progress, s; 0: none."""
        return max((self._clock() - began_s for began_s in self._began_s if began_s is not None), default=0.0)

    def _serve(self, number: int) -> None:
        while (frame := self._mailboxes.take(self._most)) is not None:
            self._began_s[number] = began_s = self._clock()
            result: Answer | Exception
            try:
                result = self._process(frame)
            except Exception as error:  # noqa: BLE001  # the frame must be answered in any case
                result = error
            self._began_s[number] = None
            cost_s = result.engine_s if isinstance(result, Answer) else 0.0
            if frame.picture.large:  # decoding is most of its cost, whatever the result
                cost_s = max(cost_s, self._clock() - began_s)
            self._mailboxes.done(frame.camera, cost_s, large=frame.picture.large)
            self._report(frame, result)
            del frame, result  # megabytes, with the traceback of an error, until this thread has another frame
