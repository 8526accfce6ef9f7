"""The last hour of each camera, one row per ten seconds: what it got, what it was refused, and how fast.

Rules of this file:
- It is kept in memory only, 6 kB a camera: it is for the person who looks at a camera that misbehaves now.
- Rows are dated by the monotonic clock and get wall-clock dates when they are asked for.
- A camera that sends nothing leaves a gap. At most MOST cameras are kept; the one that was silent longest goes first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.health.history import STEP_S
from appliance.values import CameraStats

MOST = 128
_NEVER = np.iinfo(np.int64).min
_SLOTS = 3600 // STEP_S
_COLUMNS = (("answered_fps", 2), ("refused_fps", 2), ("latency_ms", 1))
"""Names, and decimals."""


@dataclass(slots=True)
class _Rows:
    """A camera's rows; the slot of a row is its step modulo the number of slots."""

    before: CameraStats
    """At the end of the last row."""
    steps: NDArray[np.int64] = field(default_factory=lambda: np.full(_SLOTS, _NEVER, np.int64))
    values: NDArray[np.float32] = field(default_factory=lambda: np.zeros((_SLOTS, len(_COLUMNS)), np.float32))


class CameraHistory:
    """Collects the rows of all cameras."""

    def __init__(self) -> None:
        self._cameras: dict[str, _Rows] = {}
        self._step: int | None = None
        self._last_s = 0.0

    def note(self, stats: Callable[[], Mapping[str, CameraStats]], now_s: float) -> None:
        """Take a sample, about once a second; `stats` is asked at the end of a row only. `now_s`: monotonic."""
        step = int(now_s // STEP_S)
        if step == self._step:
            return
        passed_s, ended, self._step, self._last_s = now_s - self._last_s, self._step, step, now_s
        for name, now in stats().items():
            rows = self._cameras.pop(name, None)
            if rows is not None and ended is not None:
                _end_row(rows, ended, now, passed_s)
            self._cameras[name] = rows or _Rows(now)  # the newest at the end
        while len(self._cameras) > MOST:
            del self._cameras[next(iter(self._cameras))]

    def as_json(self, name: str, now_s: float, wall_s: float) -> dict[str, Any]:
        """The last hour of a camera, like `history.as_json`; all unknown for a camera that sent nothing."""
        last = int(now_s // STEP_S) - 1
        wanted = np.arange(last - _SLOTS + 1, last + 1)
        rows = self._cameras.get(name)
        columns: dict[str, list[float | None]] = {}
        for number, (column, decimals) in enumerate(_COLUMNS):
            columns[column] = [None] * _SLOTS
            if rows is not None:
                slots = wanted % _SLOTS
                values = np.where(rows.steps[slots] == wanted, rows.values[slots, number], np.nan).tolist()
                columns[column] = [None if value != value else round(value, decimals) for value in values]
        start_s = wall_s - (now_s - int(wanted[0]) * STEP_S)
        return {"schema": 1, "span": "hour", "start": max(0, round(start_s)), "step_s": STEP_S, "columns": columns}


def _end_row(rows: _Rows, step: int, now: CameraStats, passed_s: float) -> None:
    before, rows.before = rows.before, now
    answered, refused = now.answered - before.answered, _refused(now) - _refused(before)
    if now.received == before.received or answered < 0 or passed_s <= 0:  # silent, or connected again
        return
    slot = step % _SLOTS
    rows.steps[slot] = step
    rows.values[slot] = (
        answered / passed_s,
        refused / passed_s,
        np.nan if now.latency_ms is None else now.latency_ms,
    )


def _refused(stats: CameraStats) -> int:
    return sum(stats.skipped.values())
