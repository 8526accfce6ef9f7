"""The last 24 hours, one row per ten seconds, in an array of fixed size.

Rules of this file:
- Time is counted in steps: ten seconds of the wall clock since 1970. A row's slot is its step modulo the number of
  slots. The row stores its step, so a slot with another step is a gap, and slots never need clearing.
- A row is dated by the wall clock. When the clock is set, the rows of this run move with it, because their age is
  known. Rows of earlier runs keep their dates.
- Unknown values are NaN. Step 0 marks an empty row. The array is also the content of the file: each row gets a checksum
  when it is saved.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

STEP_S = 10
SLOTS = 24 * 3600 // STEP_S

_LAST_STEP = 2**32 - 1

Span = Literal["hour", "day"]
Merge = Literal["mean", "max", "min"]
SlotIndices = NDArray[np.intp]
_PER_MOMENT: dict[Span, int] = {"hour": 1, "day": 60 // STEP_S}
"""Rows merged into one entry of the answer."""


@dataclass(frozen=True, slots=True)
class Column:
    """One metric: how rows are merged into a minute, and to how many decimals values are rounded."""

    name: str
    merge: Merge
    decimals: int


COLUMNS = (
    Column("soc_temp_c", "mean", 1),
    Column("cooling_state", "max", 0),
    Column("cpu_percent", "mean", 1),
    Column("memory_available_bytes", "min", 0),
    Column("answered_fps", "mean", 2),
    Column("refused_fps", "mean", 2),
    Column("latency_p50_ms", "mean", 1),
    Column("latency_p95_ms", "max", 1),
    Column("cameras", "max", 0),
    Column("status", "max", 0),
)
ROW = np.dtype([("crc", "<u4"), ("step", "<u4"), ("values", "<f4", (len(COLUMNS),))])

Rows = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The rows of a span: `values` by [row, column], NaN where unknown."""

    span: Span
    first_step: int
    values: NDArray[np.float32]


class History:
    """The rows. Not thread-safe; an excerpt may be passed to another thread."""

    def __init__(self, rows: Rows | None = None) -> None:
        self._rows = np.zeros(SLOTS, ROW) if rows is None else rows
        self._ours = np.zeros(SLOTS, bool)
        """Rows written by this run."""
        self._unsaved = np.zeros(SLOTS, bool)

    def put(self, step: int, values: Sequence[float | None]) -> None:
        """Store the row of a step, one value per column. Replaces the slot's former row."""
        slot = step % SLOTS
        self._rows["step"][slot] = step
        self._rows["values"][slot] = [np.nan if value is None else value for value in values]
        self._ours[slot] = self._unsaved[slot] = True

    def shift(self, steps: int) -> None:
        """Move the rows of this run, after the wall clock was set forward (or back) by this many steps."""
        moved = self._rows[self._ours]
        dates = moved["step"].astype(np.int64) + steps
        moved["step"] = dates.clip(0, _LAST_STEP)
        self._rows[self._ours] = np.zeros(1, ROW)
        self._unsaved |= self._ours
        slots = dates % SLOTS
        self._rows[slots] = moved
        self._ours[:] = False
        self._ours[slots] = self._unsaved[slots] = True

    def excerpt(self, span: Span, now_s: float) -> Excerpt:
        """Return the last hour or day up to now (s since 1970), aligned to the entries of `as_json`."""
        per = _PER_MOMENT[span]
        end = int(now_s // (STEP_S * per)) * per
        steps = np.arange(end - (3600 if span == "hour" else 86_400) // STEP_S, end)
        rows = self._rows[steps % SLOTS]
        known = (rows["step"] == steps) & (steps > 0)
        return Excerpt(span, int(steps[0]), np.where(known[:, None], rows["values"], np.float32(np.nan)))

    def take_unsaved(self, most: int) -> tuple[SlotIndices, Rows]:
        """Return up to `most` unsaved rows with their checksums, and their slots. Marks them as saved."""
        slots = np.flatnonzero(self._unsaved)[:most]
        self._unsaved[slots] = False
        rows = self._rows[slots]
        rows["crc"] = [seal(row) for row in rows]
        return slots, rows

    def give_back(self, slots: SlotIndices) -> None:
        """Mark these rows as unsaved again."""
        self._unsaved[slots] = True


def seal(row: np.void) -> int:
    """Return the CRC-32 of a row's step and values; 0 for an empty row."""
    return zlib.crc32(row.tobytes()[4:]) if row["step"] else 0


def as_json(excerpt: Excerpt) -> dict[str, Any]:
    """Format an excerpt by column: the last hour in ten-second entries, the last day in minutes; null where unknown."""
    per = _PER_MOMENT[excerpt.span]
    groups = excerpt.values.astype(np.float64).reshape(-1, per, len(COLUMNS))
    columns = {}
    for number, column in enumerate(COLUMNS):
        values = np.round(_merge(groups[:, :, number], column.merge), column.decimals)
        known = ~np.isnan(values)
        shown = np.where(known, values, 0).astype(np.float64 if column.decimals else np.int64).astype(object)
        shown[~known] = None
        columns[column.name] = shown.tolist()
    return {
        "schema": 1,
        "span": excerpt.span,
        "start": excerpt.first_step * STEP_S,
        "step_s": STEP_S * per,
        "columns": columns,
    }


def _merge(groups: NDArray[np.float64], how: Merge) -> NDArray[np.float64]:
    """Merge each group of values into one, ignoring unknown values."""
    if how == "max":
        return np.asarray(np.fmax.reduce(groups, axis=1))
    if how == "min":
        return np.asarray(np.fmin.reduce(groups, axis=1))
    known = np.count_nonzero(~np.isnan(groups), axis=1)
    mean = np.full(len(groups), np.nan)
    np.divide(np.nansum(groups, axis=1), known, out=mean, where=known > 0)
    return mean
