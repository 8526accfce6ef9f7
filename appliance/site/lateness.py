"""How late messages come, without a clock that sender and receiver share.

Rules of this file:
- A sender's fastest messages are the measure: a message is as late as it is slower than they were.
- Clocks run apart by some seconds in an hour, so the measure follows slowly.
- A clock can also jump: a time server sets the wall clock, and all clocks of a virtual machine stand still while it is
  paused. From then on all messages of that sender seem late. Real lateness ends sooner: what a hanging server held
  comes in a burst, and the next message is on time. So if all messages of a sender have been late for `_ALWAYS_S`, the
  fastest of them are the new measure.
- A sender that has been silent for a while keeps its measure. The senders that have been silent for the longest are
  forgotten first, because anybody on the bus can invent names.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

_DRIFT_S_PER_S = 0.001
_ALWAYS_S = 30.0
_MOST_SENDERS = 400
"""Two runs of each device of the largest site."""

Sender = tuple[str, ...]


@dataclass(slots=True)
class _UsualDelay:
    """What is known about one sender: the receiver's time minus the sender's, s."""

    least_s: float
    """Of a message that is not late."""
    at_s: float
    """When the last message came."""
    late_since_s: float | None = None
    """When the first one came of those that were all late; None: the last one was not."""
    late_least_s: float = 0.0
    """The least of those."""


class Lateness:
    """Which messages come more than `late_s` later than their sender's usually do."""

    def __init__(self, late_s: float) -> None:
        self._late_s = late_s
        self._known: OrderedDict[Sender, _UsualDelay] = OrderedDict()

    def __len__(self) -> int:
        """Senders that are remembered."""
        return len(self._known)

    def is_late(self, sender: Sender, sent_s: float, now_s: float) -> bool:
        """Whether a message is late. `sent_s`: by any clock of the sender; `now_s`: by this device's monotonic one."""
        delay_s = now_s - sent_s
        usual = self._known.setdefault(sender, _UsualDelay(delay_s, now_s))
        self._known.move_to_end(sender)
        if len(self._known) > _MOST_SENDERS:
            self._known.popitem(last=False)
        usual.least_s = min(delay_s, usual.least_s + (now_s - usual.at_s) * _DRIFT_S_PER_S)
        usual.at_s = now_s
        if delay_s - usual.least_s <= self._late_s:
            usual.late_since_s = None
            return False
        if usual.late_since_s is None:
            usual.late_since_s, usual.late_least_s = now_s, delay_s
        usual.late_least_s = min(usual.late_least_s, delay_s)
        if now_s - usual.late_since_s < _ALWAYS_S:
            return True
        usual.least_s, usual.late_since_s = usual.late_least_s, None
        return delay_s - usual.least_s > self._late_s
