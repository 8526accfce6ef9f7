"""The threads that look at frames: each takes one from the mailboxes, looks at it, and reports back.

Rules of this file:
- The chip never waits for the event loop: from its bytes to its boxes a frame stays on one thread.
- A thread holds nothing: a frame is its camera's until it is taken, and the event loop's once it is reported.
- A chip that hangs must not keep the process from ending: the threads are daemons.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from appliance.flow.inference import Answer
from appliance.flow.mailboxes import Mailboxes
from appliance.ports import Clock
from appliance.values import Frame

Look = Callable[[Frame], Answer]
"""From bytes to boxes; slow. Whatever it raises is reported."""

Report = Callable[[Frame, "Answer | Exception"], None]
"""Hands a frame's result to the event loop; returns at once."""


class Workers:
    """Threads that serve until the mailboxes are closed. `most`: frames that may be under way now, asked each time."""

    def __init__(
        self, *, mailboxes: Mailboxes, look: Look, report: Report, most: Callable[[], int], clock: Clock
    ) -> None:
        self._mailboxes, self._look, self._report, self._most = mailboxes, look, report, most
        self._clock = clock
        self._began_s: list[float | None] = []
        """When each thread took the frame that it looks at; its own cell is all that a thread writes."""

    def grow_to(self, count: int) -> None:
        """Have at least so many; those that there are stay."""
        for number in range(len(self._began_s), count):
            self._began_s.append(None)
            threading.Thread(target=self._serve, args=(number,), name=f"frame-{number}", daemon=True).start()

    def longest_s(self) -> float:
        """How long the frame has taken so far that has been looked at longest, s; 0 where none is."""
        return max((self._clock() - began_s for began_s in self._began_s if began_s is not None), default=0.0)

    def _serve(self, number: int) -> None:
        while (frame := self._mailboxes.take(self._most)) is not None:
            self._began_s[number] = began_s = self._clock()
            result: Answer | Exception
            try:
                result = self._look(frame)
            except Exception as error:  # noqa: BLE001  # whatever it was, the frame is answered
                result = error
            self._began_s[number] = None
            cost_s = result.engine_s if isinstance(result, Answer) else 0.0
            if frame.picture.large:  # most of its cost lies in decoding, whatever comes of it
                cost_s = max(cost_s, self._clock() - began_s)
            self._mailboxes.done(frame.camera, cost_s, large=frame.picture.large)
            self._report(frame, result)
