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
from appliance.values import Frame

Look = Callable[[Frame], Answer]
"""From bytes to boxes; slow. Whatever it raises is reported."""

Report = Callable[[Frame, "Answer | Exception"], None]
"""Hands a frame's result to the event loop; returns at once."""


def start(count: int, mailboxes: Mailboxes, look: Look, report: Report, most: Callable[[], int]) -> None:
    """Threads that serve until the mailboxes are closed. `most`: frames that may be under way now, asked each time."""
    for number in range(count):
        arguments = (mailboxes, look, report, most)
        threading.Thread(target=_serve, args=arguments, name=f"frame-{number}", daemon=True).start()


def _serve(mailboxes: Mailboxes, look: Look, report: Report, most: Callable[[], int]) -> None:
    while (frame := mailboxes.take(most)) is not None:
        result: Answer | Exception
        try:
            result = look(frame)
        except Exception as error:  # noqa: BLE001  # whatever it was, the frame is answered
            result = error
        mailboxes.done(frame.camera, result.engine_s if isinstance(result, Answer) else 0.0)
        report(frame, result)
