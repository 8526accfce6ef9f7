"""Every board in every weather: what the governor loses compared with an oracle, and what it prevents.

Each simulation lasts three hours of simulated time. Plots are written to build/bench/governor.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from pathlib import Path

from tests.benchmarks.governor import plot
from tests.benchmarks.governor.boards import BOARDS, Board
from tests.benchmarks.governor.rivals import RIVALS
from tests.benchmarks.governor.simulate import Run, simulate
from tests.benchmarks.governor.weather import WEATHERS, Weather
from tests.benchmarks.report import Row
from tests.benchmarks.service import ROOT

_PLOTS = ROOT / "build/bench/governor"

Days = dict[tuple[Board, Weather], dict[str, Run]]


def run(folder: Path) -> list[Row]:
    days: Days = {}
    _PLOTS.mkdir(parents=True, exist_ok=True)
    for board, weather in product(BOARDS, WEATHERS):
        days[board, weather] = runs = {name: simulate(board, weather, name) for name in RIVALS}
        name = f"{board.name} {weather.name}".replace(" ", "-").replace("°", "")
        (_PLOTS / f"{name}.svg").write_text(plot.svg(board, weather, runs))
    print(_table(days))
    return _rows(days)


def _rows(days: Days) -> list[Row]:
    steady = {day: runs for day, runs in days.items() if day[1].steady}
    warm = {day: runs for day, runs in steady.items() if day[1].name != WEATHERS[0].name}
    usual = {day: runs for day, runs in steady.items() if day not in warm}
    changing = {day: runs for day, runs in days.items() if day not in steady}
    throttled = {day: float(runs["ours"].throttled_s) for day, runs in days.items()}
    recovered = {
        day: value
        for day, runs in days.items()
        if day[1].heat_s is not None and (value := runs["ours"].recovered_s(*day[1].heat_s)) is not None
    }
    unrecovered = sum(day[1].heat_s is not None for day in days) - len(recovered)
    changes = {day: runs["ours"].changes_per_hour for day, runs in steady.items()}
    return [
        _most("governor: seconds of firmware throttling, worst case", throttled, 0.0),
        _least("governor: value relative to the oracle, steady 25 °C", _parts(usual), 0.95),
        _least("governor: value relative to the oracle, steady 40 °C", _parts(warm), 0.95),
        _least("governor: value relative to the oracle, changing weather", _parts(changing), 0.90),
        _most("governor: changes of level per hour, steady weather", changes, 6.0),
        _most("governor: seconds to recover the level before the heat", recovered, 180.0),
        Row("governor: simulations without recovery", unrecovered, 0, True, ""),
    ]


def _parts(days: Days) -> dict[tuple[Board, Weather], float]:
    return {day: runs["ours"].value / runs["oracle"].value for day, runs in days.items()}


def _most(claim: str, values: dict[tuple[Board, Weather], float], goal: float) -> Row:
    (board, weather), value = max(values.items(), key=lambda item: item[1])
    return Row(claim, value, goal, True, f"{board.name}, {weather.name}; {_others(values.values())}")


def _least(claim: str, values: dict[tuple[Board, Weather], float], goal: float) -> Row:
    (board, weather), value = min(values.items(), key=lambda item: item[1])
    return Row(claim, value, goal, False, f"{board.name}, {weather.name}; {_others(values.values())}")


def _others(values: Iterable[float]) -> str:
    shown = sorted(values)
    return f"median of {len(shown)} simulations {shown[len(shown) // 2]:.3g}"


def _table(days: Days) -> str:
    lines = [f"{'value / throttled s / changes per h':<36}" + "".join(f"{name:>20}" for name in RIVALS)]
    for (board, weather), runs in days.items():
        cells = (f"{one.value:.2f} {one.throttled_s:6d} {one.changes_per_hour:6.0f}" for one in runs.values())
        lines.append(f"{board.name + ', ' + weather.name:<36}" + "".join(f"{cell:>20}" for cell in cells))
    return "\n".join(lines)
