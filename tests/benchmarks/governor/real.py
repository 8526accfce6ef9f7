"""The real service on an emulated board: its CPU time heats a simulated chip, whose temperature it reads from /sys.

The board heats four times as fast as a real one, to keep the benchmark short. The service runs in its own mount
namespace with an emulated /sys/class/thermal, which needs root. It runs first without, then with the governor; then a
fan starts, and the service has to recover to level 0.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from appliance.control.client import Control
from tests.benchmarks.governor.boards import Board, Plant
from tests.benchmarks.governor.emulated import ThermalZone, cameras, may_mount, running, steady_fps, use_of
from tests.benchmarks.report import Row
from tests.benchmarks.service import Service, draw_picture, load, read_load

QUICK = Board("quick", 2.8, 0.0, 3.0, 4.0, 5.5, 60.0, 5.5, 80.0, 85.0, 1.0, 75.0, 84.0)
"""A bare Pi 5, four times as fast and without throttling, to show the temperature it would reach. Because it heats
faster, its target is 5 °C below the throttling temperature."""
_FAN_C_W = 1.5
_AIR_C, _WOULD_REACH_C = 25.0, 90.0
"""The load from the cameras heats the board to this temperature, whatever share of this machine it uses."""
_UNGOVERNED_S, _HOT_S, _FAN_S = 90, 180, 150


@dataclass
class Course:
    """Temperature and throttle level, once a second."""

    temps_c: list[float] = field(default_factory=list)
    states: list[int] = field(default_factory=list)


def run(folder: Path) -> list[Row]:
    if not may_mount():
        print("governor_service: skipped, needs root and mount namespaces")
        return []
    picture = draw_picture(folder)
    with _board(folder, QUICK, "governor.enabled=false") as (service, plant):
        four = cameras(steady_fps(service, picture))
        with load(service.url, picture, *four, "--seconds", "1000"):
            board = _scaled(service)
            plant.board = board
            hottest = max(_watch(plant, None, _UNGOVERNED_S).temps_c)
    with (
        _board(folder, board) as (service, plant),
        load(service.url, picture, *four, "--seconds", str(_HOT_S + _FAN_S), "--warm-up", "0") as pushing,
    ):
        control = Control([folder / "appliance/control.sock"])
        assert pushing.stdout is not None
        pushing.stdout.readline()  # started
        hot = _watch(plant, control, _HOT_S)
        plant.sink_resistance = _FAN_C_W
        fan = _watch(plant, control, _FAN_S)
        pushing.stdout.readline()  # ended
        answered = [at_s for camera in read_load(pushing).values() for at_s in camera["answered_at_s"]]
    return _rows(hottest, hot, fan, answered)


def _scaled(service: Service) -> Board:
    """The board that this load would heat to 90 °C."""
    watts = (_WOULD_REACH_C - _AIR_C) / (QUICK.chip_c_w + QUICK.sink_c_w) - QUICK.idle_w
    return replace(QUICK, full_w=watts / use_of(service))


def _rows(hottest_c: float, hot: Course, fan: Course, answered_s: list[float]) -> list[Row]:
    cold = sum(at_s < 20 for at_s in answered_s) / 20
    late = sum(_HOT_S - 60 <= at_s < _HOT_S for at_s in answered_s) / 60
    back = next((second for second, state in enumerate(fan.states) if state == 0), 10 * _FAN_S)
    states = "".join(map(str, hot.states[::5])) + " | " + "".join(map(str, fan.states[::5]))
    changes = sum(a != b for a, b in zip(hot.states, hot.states[1:], strict=False))
    return [
        Row("real service: °C reached / throttling, no governor", hottest_c / QUICK.throttle_c, 1.0, False,
            f"{hottest_c:.1f} °C in {_UNGOVERNED_S} s"),
        Row("real service: °C reached / throttling, governor", max(hot.temps_c) / QUICK.throttle_c, 0.99, True,
            f"{max(hot.temps_c):.1f} °C, finally {hot.temps_c[-1]:.1f}; {changes} changes; level every 5 s: {states}"),
        Row("real service: frames per second, hot / cold", late / cold, 0.9, False, f"{late:.1f} / {cold:.1f}"),
        Row("real service: seconds to level 0 after the fan starts", back, 180, True, "the fan starts at full speed"),
    ]  # fmt: skip


def _watch(plant: Plant, control: Control | None, seconds: int) -> Course:
    course = Course()
    for _ in range(seconds):
        time.sleep(1)
        course.temps_c.append(plant.chip_c)
        if control is not None:
            status = control.governor()
            assert status is not None
            course.states.append(status.cur_state)
    return course


@contextmanager
def _board(folder: Path, board: Board, *settings: str) -> Iterator[tuple[Service, Plant]]:
    """Start the service on a machine whose chip is a `Plant`, and wait until it is ready."""
    zone, plant, over = ThermalZone(folder), Plant(board, _AIR_C, 1), threading.Event()
    zone.show(plant.chip_c)
    with running(folder, zone, f"governor.target_temp_c={board.target_c:g}", *settings) as service:
        heater = threading.Thread(target=_heat, args=(service, plant, zone, over))
        heater.start()
        try:
            yield service, plant
        finally:
            over.set()
            heater.join()


def _heat(service: Service, plant: Plant, zone: ThermalZone, over: threading.Event) -> None:
    """Heat the chip once a second by the CPU time that the service used."""
    cores = psutil.cpu_count() or 1
    before_s, at_s = service.cpu_s(), time.monotonic()
    while not over.wait(1.0):
        used_s, now_s = service.cpu_s(), time.monotonic()
        plant.work(min(1.0, (used_s - before_s) / (now_s - at_s) / cores))
        before_s, at_s = used_s, now_s
        zone.show(plant.chip_c)
