"""Simulated boards: two thermal masses, the firmware's throttling, and a sensor no better than real ones.

Rules of this file:
- A constant is published, fitted to published data, or marked as an assumption. None was measured with this service,
  which has not run on a Raspberry Pi, Jetson or NUC yet.
- Heat is the part caused by load, without idle heat. A throttled chip also runs at a lower voltage: its heat falls with
  the square of its speed (assumption).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from appliance.readings import Cpu, Memory, Power, Reading, Thermal


@dataclass(frozen=True, slots=True)
class Board:
    """Constants of one board; powers in W, resistances in °C/W, times in s."""

    name: str
    idle_w: float
    full_w: float
    """Power above idle, with all cores busy at full speed."""
    chip_c_w: float
    """From the chip to its heat sink."""
    chip_s: float
    sink_c_w: float
    """From the heat sink to the air."""
    sink_s: float
    blocked_c_w: float
    """`sink_c_w` with the fan blocked, or in a closed housing."""
    throttle_c: float
    """Temperature at which firmware or kernel start to throttle."""
    crawl_c: float
    """Temperature at which throttling reaches its maximum."""
    slowest: float
    """Speed at `crawl_c`, relative to full speed."""
    target_c: float
    """`governor.target_temp_c` of this board."""
    critical_c: float
    """`governor.critical_temp_c`."""

    def settles_c(self, heat: float, air_c: float) -> float:
        """Steady temperature without throttling."""
        return air_c + (self.chip_c_w + self.sink_c_w) * (self.idle_w + self.full_w * heat)


BOARDS = (
    # Throttles from 80 °C, fully at 85 °C (Raspberry Pi documentation, "Frequency management and thermal control");
    # 2.4 GHz, at least 1.5. Idles at about 50 °C without a cooler (beamostore.com, Raspberry Pi 5 overheating),
    # is at 80 °C "within a few minutes" of stress at 22 °C (pidiylab.com, Raspberry Pi 5 cooling guide), and reached
    # 89 °C in Phoronix' run. Fitted to these: 52 °C idle and 101 unthrottled at 25 °C, 80 °C after two minutes. The
    # split between chip and board, and the powers (2.8 and 8 W), are assumptions. "Blocked": in a closed plastic case.
    Board("Pi 5 bare", 2.8, 5.2, 3.0, 15.0, 6.5, 240.0, 8.0, 80.0, 85.0, 0.625, 77.0, 84.0),
    # Phoronix with the Active Cooler: 56 °C on average, at most 72, always at 2.4 GHz. Fitted to 38 °C idle and
    # 61 under full load at 25 °C. Blocked fan: the cooler's fins alone (assumption).
    Board("Pi 5 cooler", 2.8, 5.2, 1.8, 12.0, 2.7, 120.0, 6.0, 80.0, 85.0, 0.625, 77.0, 84.0),
    # ai-hpc.github.io, Orin Nano power and thermal guide: 15 W mode, throttles above 87 °C, shuts down at 97.
    # Fanless ones throttle under sustained load (edgeaistack.ai). The resistances are assumptions: 61 °C at full load
    # and 25 °C with its fan.
    Board("Orin Nano", 4.0, 8.0, 0.8, 8.0, 2.2, 180.0, 6.0, 87.0, 97.0, 0.4, 84.0, 92.0),
    # A 15 W Intel mini PC without a fan: some are set to 15 W sustained (forum.level1techs.com, N100 power limits); one
    # with an N5105 reached 70 °C under full load (ora.it.com). Junction limit 100 °C (AnandTech, Skull Canyon).
    # Heat sinks of that weight take minutes (AnandTech's half-hour stress curves); the constants are assumptions.
    Board("NUC", 4.0, 11.0, 0.9, 4.0, 2.1, 400.0, 4.5, 100.0, 105.0, 0.4, 97.0, 99.0),
)


class Plant:
    """A simulated board; each call of `work` simulates one second."""

    def __init__(self, board: Board, air_c: float, seed: int) -> None:
        self.board, self.air_c, self.sink_resistance = board, air_c, board.sink_c_w
        self.sink_c = air_c + board.sink_c_w * board.idle_w
        self.chip_c = self.sink_c + board.chip_c_w * board.idle_w
        self.at_s = 0.0
        self.use = 0.0
        self._random = random.Random(seed)
        self._silent_s = 0

    @property
    def speed(self) -> float:
        """Speed after throttling, 0-1."""
        board = self.board
        part = (self.chip_c - board.throttle_c) / (board.crawl_c - board.throttle_c)
        return 1 - min(max(part, 0.0), 1.0) * (1 - board.slowest)

    @property
    def throttled(self) -> bool:
        return self.chip_c >= self.board.throttle_c

    def work(self, heat: float) -> None:
        """Simulate a second of load that produces this part of the full heat at full speed."""
        self.chip_c, self.sink_c = self.after(heat * self.speed**2)
        self.at_s += 1.0
        self.use = heat

    def after(self, heat: float) -> tuple[float, float]:
        """Temperatures of chip and heat sink a second later."""
        board = self.board
        watts = board.idle_w + board.full_w * heat
        flow_w = (self.chip_c - self.sink_c) / board.chip_c_w
        chip_j_c, sink_j_c = board.chip_s / board.chip_c_w, board.sink_s / board.sink_c_w
        chip = self.chip_c + (watts - flow_w) / chip_j_c
        return chip, self.sink_c + (flow_w - (self.sink_c - self.air_c) / self.sink_resistance) / sink_j_c

    def read(self) -> Reading:
        """Read the sensors: whole degrees with noise of half a degree, and occasional drop-outs of some seconds."""
        if self._silent_s:
            self._silent_s -= 1
        elif self._random.random() < 0.002:
            self._silent_s = self._random.randrange(3, 20)
        temp = None if self._silent_s else float(round(self.chip_c + self._random.gauss(0, 0.5)))
        own = 95 * min(1.0, max(0.0, self.use + self._random.gauss(0, 0.03)))
        return Reading(
            self.at_s,
            Thermal(self.at_s, temp),
            Power(self.at_s, throttled=self.throttled),
            Memory(self.at_s, 2_000_000_000),
            Cpu(self.at_s, own + 5, own),
        )
