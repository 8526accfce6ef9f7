"""A night for tests: nobody waits for its hours."""

from __future__ import annotations

import datetime


class Night:
    """A clock that goes on while somebody waits, or downloads."""

    def __init__(self, at: str) -> None:
        self.time = datetime.datetime.combine(datetime.date(2026, 7, 1), datetime.time.fromisoformat(at))

    def now(self) -> datetime.datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += datetime.timedelta(seconds=seconds)
