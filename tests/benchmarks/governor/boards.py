"""Simulated boards: up to three thermal masses, the firmware's throttling, and a sensor no better than real ones.

Rules of this file:
- A constant is published, fitted to published data, or marked as an assumption. None was measured with this service,
  which has not run on a Raspberry Pi, Jetson or NUC yet.
- Heat is the part caused by load, without idle heat. A throttled chip also runs at a lower voltage: its heat falls with
  the square of its speed (assumption).
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

from appliance.readings import Cpu, Memory, Power, Reading, Thermal


@dataclass(frozen=True, slots=True)
class Habits:
    """What makes a real board harder to govern than two ideal masses; the defaults are an ideal board."""

    house_c_w: float = 0.0
    """From the air in a closed housing to the air outside; 0: no housing."""
    house_s: float = 1800.0
    leak_per_c: float = 0.0
    """Growth of all power with temperature, per °C above 60: leakage."""
    fan_on_c: float = 0.0
    """A fan starts at this chip temperature and runs at full speed 15 °C above it; 0: no fan of its own."""
    fan_part: float = 1.0
    """`sink_c_w` with the fan at full speed, relative to none."""
    boost: float = 1.0
    """Power of the first seconds of load, relative to sustained power (Intel's PL2)."""
    lag_s: int = 0
    step_c: float = 1.0
    garbage: float = 0.0
    """Probability per second of a senseless sample."""
    throttle_read_s: int = 1
    """How often throttling is read: each 10 s where the kernel has no file for it."""
    rail: bool = False
    """Whether the board measures its power."""
    gpu_w: float = 0.0
    """Power of a fully loaded GPU."""
    passive_c: float | None = None
    off_c: float | None = None
    """Trip points that the kernel reports."""


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
    habits: Habits = field(default_factory=Habits)

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


_SUBSTEPS = 4
_BOOST_S = 28.0
_SENSELESS_C = (85.0, 0.0, 127.0, -273.0, 25.0)
"""85 °C is the power-on value of common sensor chips; the others are registers read too early, and overflows."""


class Plant:
    """A simulated board; each call of `work` simulates one second."""

    def __init__(self, board: Board, air_c: float, seed: int) -> None:
        self.board, self.air_c, self.sink_resistance = board, air_c, board.sink_c_w
        idle_w, habits = board.idle_w, board.habits
        self.house_c = air_c + habits.house_c_w * idle_w
        self.sink_c = self.house_c + board.sink_c_w * idle_w
        self.chip_c = self.sink_c + board.chip_c_w * idle_w
        self.at_s = 0.0
        self.use = 0.0
        self.others = 0.0
        self.gpu = 0.0
        self.clock = 1.0
        """The cap of the clock, relative to the highest."""
        self.foreign_w = 0.0
        """Heat that reaches the heat sink from elsewhere in the housing, and that no sensor shows."""
        self.frame_ms: dict[int, float] = {}
        """Engine time of a frame by input side, as the service has measured it so far."""
        self.used_s: dict[int, int] = {}
        self._random = random.Random(seed)
        self._silent_s = 0
        self._recent = 0.0
        self._past_c = deque([self.chip_c], maxlen=habits.lag_s + 1)
        self._throttle_seen = (0.0, False)

    @property
    def speed(self) -> float:
        """Speed after throttling, 0-1."""
        board = self.board
        part = (self.chip_c - board.throttle_c) / (board.crawl_c - board.throttle_c)
        return 1 - min(max(part, 0.0), 1.0) * (1 - board.slowest)

    @property
    def throttled(self) -> bool:
        return self.chip_c >= self.board.throttle_c

    def work(self, heat: float, others: float = 0.0, gpu: float = 0.0) -> None:
        """Simulate a second of load that produces this part of the full heat at full speed, next to that of others."""
        self.use, self.others, self.gpu = heat, others, gpu
        self.chip_c, self.sink_c, self.house_c = self._later(heat)
        self._recent += (heat + others - self._recent) / _BOOST_S
        self.at_s += 1.0
        self._past_c.append(self.chip_c)
        if self.at_s - self._throttle_seen[0] >= self.board.habits.throttle_read_s:
            self._throttle_seen = (self.at_s, self.throttled)

    def after(self, heat: float) -> float:
        """The chip's temperature a second later, with the others' load as it is."""
        return self._later(heat)[0]

    def watts(self, heat: float) -> float:
        """Power at the present temperature and speed."""
        board, habits = self.board, self.board.habits
        load = (heat + self.others) * self.speed**2
        if habits.boost > 1.0 and self._recent < 0.7:
            load *= 1.0 + (habits.boost - 1.0) * (1.0 - self._recent / 0.7)
        cold_w = board.idle_w + board.full_w * load + habits.gpu_w * self.gpu
        return cold_w * max(0.5, 1.0 + habits.leak_per_c * (self.chip_c - 60.0))

    def _later(self, heat: float) -> tuple[float, float, float]:
        board, habits = self.board, self.board.habits
        watts = self.watts(heat)
        resistance = self.sink_resistance
        if habits.fan_on_c:
            speed = min(max((self.chip_c - habits.fan_on_c) / 15.0, 0.0), 1.0)
            resistance *= 1.0 - (1.0 - habits.fan_part) * speed
        chip_j_c, sink_j_c = board.chip_s / board.chip_c_w, board.sink_s / board.sink_c_w
        chip, sink, house = self.chip_c, self.sink_c, self.house_c
        if not habits.house_c_w:
            house = self.air_c
        for _ in range(_SUBSTEPS):
            inner_w = (chip - sink) / board.chip_c_w
            outer_w = (sink - house) / resistance
            chip += (watts - inner_w) / chip_j_c / _SUBSTEPS
            sink += (inner_w + self.foreign_w - outer_w) / sink_j_c / _SUBSTEPS
            if habits.house_c_w:
                flow_w = outer_w - (house - self.air_c) / habits.house_c_w
                house += flow_w * habits.house_c_w / habits.house_s / _SUBSTEPS
        return chip, sink, house

    def read(self) -> Reading:
        """Read the sensors: whole degrees with noise of half a degree, and occasional drop-outs of some seconds."""
        chance, habits = self._random, self.board.habits
        if self._silent_s:
            self._silent_s -= 1
        elif chance.random() < 0.002:
            self._silent_s = chance.randrange(3, 20)
        noisy_c = self._past_c[0] + chance.gauss(0, 0.5)
        temp: float | None = round(noisy_c / habits.step_c) * habits.step_c
        if habits.garbage and chance.random() < habits.garbage:
            temp = chance.choice(_SENSELESS_C)
        own = 95 * min(1.0, max(0.0, self.use + chance.gauss(0, 0.03)))
        others = 100 * self.others + 5 * (1 - self.others)
        rails = {"VDD_IN": self.watts(self.use)} if habits.rail else {}
        return Reading(
            self.at_s,
            Thermal(self.at_s, None if self._silent_s else temp, habits.passive_c, habits.off_c),
            Power(self._throttle_seen[0], throttled=self._throttle_seen[1], watts=rails),
            Memory(self.at_s, 2_000_000_000),
            Cpu(self.at_s, min(100.0, own + others), own, gpu_percent=100 * self.gpu if habits.gpu_w else None),
            frame_ms=dict(self.frame_ms),
        )
