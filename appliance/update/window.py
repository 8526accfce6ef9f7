"""The window of the day in which automatic updates begin: `HH:MM-HH:MM`, local time. It may go over midnight."""

from __future__ import annotations

import datetime
from collections.abc import Callable

_DAY_MIN = 24 * 60
_LOOKS_EVERY_MIN = 90
"""The longest time between two checks: the timer starts one every hour, up to half an hour late."""


def contains(window: str, now: datetime.datetime) -> bool:
    """Whether a time of day is in the window; between equal times: the whole day."""
    first, last = _minutes(window)
    return (now.hour * 60 + now.minute - first) % _DAY_MIN < ((last - first) % _DAY_MIN or _DAY_MIN)


def has_begun(window: str, now: Callable[[], datetime.datetime], sleep: Callable[[float], None]) -> bool:
    """Whether the window has begun; waits for one that could be over before the timer looks again."""
    first, last = _minutes(window)
    short = 0 < (last - first) % _DAY_MIN < _LOOKS_EVERY_MIN
    while not contains(window, now()):
        moment = now()
        if not short or (first - moment.hour * 60 - moment.minute) % _DAY_MIN > _LOOKS_EVERY_MIN:
            return False
        sleep(60)
    return True


def _minutes(window: str) -> tuple[int, int]:
    """Begin and end, in minutes since midnight."""
    first, last = (datetime.time.fromisoformat(one) for one in window.split("-"))
    return first.hour * 60 + first.minute, last.hour * 60 + last.minute
