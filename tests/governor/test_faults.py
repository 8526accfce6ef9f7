"""The governor with its real sensors on a faked board: bad samples, another program's burst, and a fan that fails.

The board is a file tree that MachineSensors reads. Its temperature follows the heat that the governor's limits allow.
Default settings, as shipped.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio

from appliance.device.sensors.machine import MachineSensors
from appliance.governor.service import Governor
from appliance.readings import Reading
from appliance.service import from_settings
from appliance.settings.schema import Settings
from appliance.settings.schema.governor import GovernorSettings
from appliance.values import Limits
from tests.fakes import FakeClock

_THROTTLES_C = 80.0
_AIR_C, _DIE_C_W, _IDLE_W, _FULL_W = 25.0, 2.8, 3.0, 6.0
_DIE_S, _SINK_S = 6.0, 90.0
_FAN_C_W, _NO_FAN_C_W = 2.0, 7.0
"""With its fan the board reaches 60 °C at full load, without 105 °C."""


@dataclass
class FakedBoard:
    """Sensors of a Raspberry Pi whose chip is heated by what the governor allows, a second a reading."""

    tree: Path
    clock: FakeClock
    use: Callable[[float], float] = field(default=lambda second: 0.0)
    """CPU use of other programs, 0-1."""
    garbled: Callable[[float, str], str] = field(default=lambda second, text: text)
    """What the sensor's file contains in place of the true temperature."""
    sink_c_w: Callable[[float], float] = field(default=lambda second: _FAN_C_W)
    limits: Limits = field(default_factory=lambda: Limits(640, 0.0, 8))
    percent: int = 100
    """The cap of the clock; the board is a ClockCap too."""
    temps_c: list[float] = field(default_factory=list)
    admitted: list[bool] = field(default_factory=list)
    duties: list[float] = field(default_factory=list)
    work: list[float] = field(default_factory=list)
    """Work done, relative to a busy machine at full clock."""
    _die_c: float = 10.0
    _sink_c: float = _IDLE_W * _FAN_C_W

    def __post_init__(self) -> None:
        zone = self.tree / "sys/class/thermal/thermal_zone0"
        zone.mkdir(parents=True)
        (zone / "type").write_text("cpu-thermal\n")
        (zone / "trip_point_0_type").write_text("passive\n")
        (zone / "trip_point_0_temp").write_text(f"{_THROTTLES_C * 1000:.0f}\n")
        self._file = zone / "temp"
        self._file.write_text("45000\n")
        self._sensors = MachineSensors(root=self.tree, disk=self.tree, clock=self.clock)

    @property
    def second(self) -> float:
        return float(len(self.temps_c))

    def read(self) -> Reading:
        self.clock.pass_(1.0)
        own = self.limits.duty * 0.95 if self.limits.admit else 0.0
        total = min(1.0, own + self.use(self.second))
        watts = _IDLE_W + _FULL_W * total * (self.percent / 100) ** 2
        self._die_c += (watts * _DIE_C_W - self._die_c) / _DIE_S
        self._sink_c += (watts * self.sink_c_w(self.second) - self._sink_c) / _SINK_S
        temp_c = _AIR_C + self._die_c + self._sink_c
        self._file.write_text(self.garbled(self.second, f"{round(temp_c) * 1000}\n"))
        self.temps_c.append(temp_c)
        self.admitted.append(self.limits.admit)
        self.duties.append(self.limits.duty)
        self.work.append(own * self.percent / 100)
        now = self._sensors.read()
        return replace(now, cpu=replace(now.cpu, percent=total * 100, own_percent=own * 100, mhz=None, work_ms=None))

    def ask(self, percent: int) -> None:
        self.percent = percent

    def apply(self, limits: Limits) -> None:
        self.limits = limits


async def run(board: FakedBoard, seconds: int, lowest_clock_percent: int = 100) -> Governor:
    settings = Settings(governor=GovernorSettings(lowest_clock_percent=lowest_clock_percent))
    governor = Governor(
        sensors=board, policy=from_settings.governor_policy(settings, None, None),
        full=from_settings.full_limits(settings), apply=board.apply, clock=board.clock, cap=board,
    )  # fmt: skip
    task = asyncio.create_task(governor.run(period_s=0))
    with anyio.fail_after(120):
        while len(board.temps_c) < seconds:
            await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait({task})
    return governor


async def test_bad_samples_cost_no_frame(tmp_path: Path) -> None:
    dice = random.Random(4)
    bad = ("85000\n", "0\n", "999000\n", "-40000\n", "127900\n", "\n", "nonsense\n", "20000\n")

    def garbled(second: float, text: str) -> str:
        return dice.choice(bad) if second % 50 >= 49 else text

    board = FakedBoard(tmp_path, FakeClock(), garbled=garbled)
    governor = await run(board, 800)
    assert all(board.admitted)
    assert min(board.duties) == 1.0
    assert governor.transitions == 0
    assert max(board.temps_c) < 68.0


async def test_a_burst_of_another_program_is_borne_and_forgotten(tmp_path: Path) -> None:
    """Full load and nearly no airflow: only the burst is too much."""
    board = FakedBoard(
        tmp_path, FakeClock(), sink_c_w=lambda second: 2.8,
        use=lambda second: 0.6 if 700 <= second < 1000 else 0.0,
    )  # fmt: skip
    await run(board, 1800)
    assert max(board.temps_c) < _THROTTLES_C
    assert all(board.admitted)
    assert min(board.duties[1500:]) >= 0.9 * max(board.duties[600:700]), "as before within minutes"


async def test_a_fan_that_fails_throttles_nothing_but_detection_until_it_is_back(tmp_path: Path) -> None:
    board = FakedBoard(tmp_path, FakeClock(), sink_c_w=lambda second: _NO_FAN_C_W if 600 <= second < 1800 else _FAN_C_W)
    await run(board, 2400)
    assert max(board.temps_c) < _THROTTLES_C
    assert all(board.admitted)
    assert min(board.duties[:600]) == 1.0
    assert max(board.duties[1500:1800]) < 0.6
    assert min(board.duties[2250:]) == 1.0, "full performance within minutes after the fan is back"


async def test_a_lower_clock_does_more_work_with_the_same_heat(tmp_path: Path) -> None:
    """A board that can only sustain about a third of the heat of full load."""
    work = {}
    for lowest in (100, 50):
        board = FakedBoard(tmp_path / str(lowest), FakeClock(), sink_c_w=lambda second: 6.5)
        await run(board, 1100, lowest)
        assert max(board.temps_c) < _THROTTLES_C
        assert all(board.admitted)
        work[lowest] = sum(board.work[600:]) / 500
    assert work[50] >= 1.25 * work[100], work
