"""What this device reports to HAProxy, as its agent-check reads it.

Rules of this file:
- A device that works answers with 1 to 100 %. HAProxy takes 0 % for a drain.
- After `drain` and `down` HAProxy waits for `up ready`, so each percentage carries it.
- `drain` sends new cameras elsewhere and cuts nobody off; `down` also cuts off those that are connected.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Condition:
    """What decides how much of the site's work this device can take."""

    ready: bool
    """A model is loaded and has passed its self-test."""
    stuck: bool = False
    """An inference hangs; nobody gets an answer."""
    closing: bool = False
    """Drained by a person, or stopping."""
    admits: bool = True
    """It processes frames, also those of new cameras."""
    duty: float = 1.0
    """Part of the engine's time that the governor allows, 0-1."""

    @property
    def headroom(self) -> float:
        """The part of its full capacity that this device offers, 0-1; 0: it takes no camera."""
        return self.duty if self.ready and self.admits and not self.closing and not self.stuck else 0.0


def answer(condition: Condition) -> str:
    """The line that answers an agent-check."""
    if condition.stuck or not (condition.ready or condition.closing):
        return "down"
    if condition.closing or not condition.admits:
        return "drain"
    return f"{min(100, max(1, round(100 * condition.duty)))}% up ready"
