"""Boards, weather and load drawn at random from published ranges, so that no figure rests on a board that was chosen.

Rules of this file:
- Case number n is always the same. Cases with an even number may be used for tuning, and all of another `SEED` in the
  environment; figures are reported for odd numbers only.
- Half of the cases are steady, at every 3 °C from 16 to 43 °C. In the others something changes: sun, night, fan, load
  of cameras, load of other programs, load of a GPU.
- Cases from `DRAWS` on, `FOREIGN` of them, have heat that is not the service's: other programs' load once a minute, by
  night or while backups run, a disk, and another device in the same housing. What is not load of this board's
  processor is not shown by any of its sensors.
- Only boards that need a governor are drawn: full load would throttle them, idle would not. On all others every
  governor is equal.
- Ranges: idle and full power of a Raspberry Pi 4 and 5, Orin Nano, N100 and NUC; throttling from 80 °C (Raspberry Pi),
  87-99 °C (Jetson) and 95-105 °C (Intel), from their vendors' documentation. Thermal resistances and masses span what
  the published temperatures of boards.py imply; fan, leakage, boost and sensor are assumptions.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from math import pi, sin

from tests.benchmarks.governor.boards import Board, Habits

DRAWS, SEED = 200, int(os.environ.get("SEED", 1_700_000))
SECONDS = 2 * 3600
EVENTS = ("sun", "night", "fan", "bursts", "cameras", "apt", "gpu", "garbage")
FOREIGN, FOREIGN_EVENTS = 60, ("cron", "backup", "disk", "neighbour", "apt", "sun")
_EVENT_C = 8.0
"""How much an event adds to the air, for the choice of a board."""
_LEAST_ROOM_C = 6.0
AIRS_C = tuple(range(16, 44, 3))


@dataclass(frozen=True, slots=True)
class Case:
    """One board on one day."""

    number: int
    board: Board
    air_c: float
    event: str | None
    from_s: float
    """Time of the event."""
    to_s: float
    obeying: float
    """Part of the load from cameras that obey their limits."""
    cost_errors: tuple[float, ...]
    """True cost of a frame at each smaller size, relative to the ladder's."""

    @property
    def name(self) -> str:
        return f"{self.number} {self.board.name}, {self.air_c:.0f} °C, {self.event or 'steady'}"

    def air_at(self, at_s: float) -> float:
        if self.event == "sun":
            into = (at_s - self.from_s) / (self.to_s - self.from_s)
            return self.air_c + 18.0 * min(max(4.0 * into, 0.0), 1.0, max(9.0 - 8.0 * into, 0.0))
        if self.event == "night":
            return self.air_c - 12.0 * sin(pi * at_s / SECONDS)
        return self.air_c

    def blocked(self, at_s: float) -> bool:
        return self.event == "fan" and self.from_s <= at_s < self.to_s

    def demand(self, at_s: float) -> float:
        """Frames that the cameras send, relative to what a cool device processes."""
        if self.event == "bursts":  # motion: some seconds of frames, then none
            return 1.0 if at_s % 13.0 < 5.0 + 3.0 * sin(at_s / 97.0) else 0.1
        if self.event == "cameras":
            return (1.0, 0.3, 0.6, 1.0, 0.15)[int(at_s / 700.0) % 5]
        return 1.0

    def others(self, at_s: float) -> float:
        """CPU use by other programs."""
        if self.event == "apt" and self.from_s <= at_s < self.to_s:
            return 0.5 if at_s % 300.0 < 120.0 else 0.05
        if self.event == "cron":  # each minute for some seconds, each quarter of an hour for longer
            return 0.9 if at_s % 900.0 < 45.0 else 0.6 if at_s % 60.0 < 4.0 else 0.02
        if self.event == "backup" and self.from_s <= at_s < self.to_s:
            return 0.35
        return 0.0

    def foreign_w(self, at_s: float) -> float:
        """Heat from other devices in the housing, W."""
        if self.event == "disk":  # it spins up and down
            return 0.15 * self.board.full_w if at_s % 600.0 < 250.0 else 0.0
        if self.event == "neighbour" and self.from_s <= at_s < self.to_s:
            return 0.3 * self.board.full_w
        return 0.0

    def gpu(self, at_s: float) -> float:
        """Use of the GPU by other programs."""
        return (0.8 if at_s % 900.0 < 400.0 else 0.0) if self.event == "gpu" else 0.0


def case(number: int) -> Case:
    """Draw this case."""
    chance = random.Random(SEED + number)
    steady = number % 4 < 2 and number < DRAWS
    events = EVENTS if number < DRAWS else FOREIGN_EVENTS
    air_c = float(AIRS_C[number // 4 % len(AIRS_C)]) if steady else chance.uniform(10, 40)
    board = _board(chance)
    while not _needs_a_governor(board, air_c if steady else air_c + _EVENT_C):
        board = _board(chance)
    from_s = chance.uniform(1200, 2400)
    return Case(
        number=number,
        board=board,
        air_c=air_c,
        event=None if steady else events[number // (4 if number < DRAWS else 2) % len(events)],
        from_s=from_s,
        to_s=from_s + chance.uniform(1200, 2400),
        obeying=chance.choice((0.0, 0.5, 1.0)),
        cost_errors=tuple(chance.uniform(0.75, 1.25) for _ in range(4)),
    )


def _needs_a_governor(board: Board, air_c: float) -> bool:
    """Whether full load would throttle the board, and a little load would not."""
    outside_c = board.habits.house_c_w
    idle_c = board.settles_c(0.0, air_c) + outside_c * board.idle_w
    full_c = board.settles_c(1.0, air_c) + outside_c * (board.idle_w + board.full_w)
    return full_c > board.throttle_c and idle_c < board.throttle_c - _LEAST_ROOM_C


def _board(chance: random.Random) -> Board:
    kind = chance.choice(("Pi", "Pi", "Jetson", "Intel"))
    sink = chance.uniform(2.0, 6.5) if kind == "Pi" else chance.uniform(1.5, 4.0)
    throttle = {"Pi": 80.0, "Jetson": chance.uniform(87, 99), "Intel": chance.uniform(95, 105)}[kind]
    fan = chance.random() < 0.3
    habits = Habits(
        house_c_w=chance.choice((0.0, chance.uniform(0.3, 1.5))),
        house_s=chance.uniform(900, 2700),
        leak_per_c=chance.uniform(0.0, 0.004),
        fan_on_c=chance.uniform(50, 65) if fan else 0.0,
        fan_part=chance.uniform(0.4, 0.8),
        boost=chance.uniform(1.2, 2.0) if kind == "Intel" else 1.0,
        lag_s=chance.choice((0, 0, 1, 2, 3)),
        step_c=chance.choice((1.0, 1.0, 0.5, 0.05)),
        garbage=chance.choice((0.0, 0.0, 0.0005)),
        throttle_read_s=chance.choice((1, 10)) if kind == "Pi" else 1,
        rail=kind == "Jetson",
        gpu_w=0.0 if kind == "Pi" else chance.uniform(2, 6),
        passive_c=None if kind == "Pi" else throttle,
        off_c=110.0 if kind == "Pi" else throttle + 6,
    )
    full = {"Pi": chance.uniform(3.5, 7.5), "Jetson": chance.uniform(5, 15), "Intel": chance.uniform(6, 20)}[kind]
    return Board(
        name=kind,
        idle_w=chance.uniform(1.8, 3.5) if kind == "Pi" else chance.uniform(3, 6),
        full_w=full,
        chip_c_w=chance.uniform(0.5, 3.0) if kind == "Pi" else chance.uniform(0.3, 1.6),
        chip_s=chance.uniform(2, 20),
        sink_c_w=sink,
        sink_s=chance.uniform(60, 600),
        blocked_c_w=sink * chance.uniform(1.3, 2.2),
        throttle_c=throttle,
        crawl_c=throttle + 5,
        slowest=chance.uniform(0.4, 0.65),
        target_c=77.0,
        critical_c=84.0,
        habits=habits,
    )
