"""The drawn cases: what the governor loses compared with an oracle, and what it prevents.

`make bench BENCH=governor` runs every case with an odd number, on which the governor was not tuned, those with heat
that is not the service's among them, and the named boards of boards.py at every 3 °C. Plots are written to
build/bench/governor. `DRAWS=10` in the environment runs only the first ten of the 100 odd cases, and as small a part of
the others. For tuning, `python -m tests.benchmarks.governor.proof 0 40 2` prints those cases only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from tests.benchmarks.governor import plot
from tests.benchmarks.governor.boards import BOARDS
from tests.benchmarks.governor.days import Day, live, oracle
from tests.benchmarks.governor.draws import AIRS_C, DRAWS, FOREIGN, SEED, Case, case
from tests.benchmarks.governor.rivals import RIVALS, capped
from tests.benchmarks.report import Row
from tests.benchmarks.service import ROOT

_PLOTS = ROOT / "build/bench/governor"
_PART = min(1.0, int(os.environ.get("DRAWS", DRAWS // 2)) / (DRAWS // 2))
"""The part of the odd cases that runs: the first ones."""
_RIVALS_EVERY = 5
"""Rivals run in every fifth of these; the plots show them."""
_ENDING = ("fan", "backup", "neighbour")
"""Events that end at once."""
_BACK, _SETTLED, _BACK_S = 0.95, 0.01, 30
"""The value is back when these seconds give this part of the oracle's; or nearly what the governor settles at, where
that is less: no single size may be worth as much as the oracle's mixture."""
_SETTLED_S = (1200, 1800)
_MOST_TOLD = 12
_WORKING = 0.03
"""A second that is throttled while the duty is at most this counts as unavoidable: there is nothing left to give up."""
_LEAST_VALUE = 0.03
"""Cases in which even the oracle gets less are too hot for any work."""


@dataclass(frozen=True, slots=True)
class Result:
    """One case with the oracle and every controller."""

    case: Case
    oracle: float
    values: Mapping[str, float]
    throttled_s: Mapping[str, int]
    avoidable_s: int
    told_per_hour: float
    back_s: int | None
    """From the end of what heated the board until the value is back; None: nothing ended."""

    def part(self, name: str) -> float:
        return self.values[name] / self.oracle


def run(folder: Path) -> list[Row]:
    numbers = _first_of(range(1, DRAWS, 2))
    print(f"seed {SEED}, {len(numbers)} of {DRAWS} draws")
    with ProcessPoolExecutor() as pool:
        results = list(
            pool.map(_measure_numbered, numbers, [place % _RIVALS_EVERY == 0 for place in range(len(numbers))])
        )
        print(table(results))
        foreign = list(pool.map(_measure_numbered, _first_of(range(DRAWS + 1, DRAWS + FOREIGN, 2))))
        print(table(foreign))
        capped_days = list(pool.map(_with_cap, [one for one in results if len(one.values) == len(RIVALS)]))
        named = list(pool.map(_named, _named_cases()))
    return [*_rows(results), *_foreign_rows(foreign), *_back_rows([*results, *foreign]), _capped(capped_days),
            _named_row(named)]  # fmt: skip


def _first_of(numbers: Sequence[int]) -> Sequence[int]:
    return numbers[: max(1, round(len(numbers) * _PART))]


def _measure_numbered(number: int, with_rivals: bool = False) -> Result:
    return measure(case(number), with_rivals, RIVALS if with_rivals else ("ours",))


def measure(drawn: Case, draw: bool = False, names: Iterable[str] = RIVALS) -> Result:
    """Run one case."""
    best, days = oracle(drawn), {name: live(drawn, RIVALS[name]()) for name in names}
    ours = days["ours"]
    if draw:
        _PLOTS.mkdir(parents=True, exist_ok=True)
        (_PLOTS / f"{drawn.number}.svg").write_text(plot.svg(drawn, {**days, "oracle": best}))
    return Result(
        drawn,
        best.value,
        {name: day.value for name, day in days.items()},
        {name: day.throttled_s for name, day in days.items()},
        _avoidable_s(ours),
        ours.told_per_hour(),
        _back_s(ours, best) if drawn.event in _ENDING else None,
    )


def _back_s(ours: Day, best: Day) -> int:
    end = int(ours.case.to_s)

    def part(from_s: int, to_s: int) -> float:
        return sum(ours.values[from_s:to_s]) / sum(best.values[from_s:to_s])

    least = min(_BACK, part(end + _SETTLED_S[0], end + _SETTLED_S[1]) - _SETTLED)
    seconds = range(end + 1, len(ours.values) - _BACK_S)
    return next((second - end for second in seconds if part(second, second + _BACK_S) >= least), len(seconds))


def table(results: Sequence[Result]) -> str:
    """Each case: value and throttled seconds of each controller."""
    names = list(results[0].values)
    lines = [f"{'value / throttled s':<36}{'oracle':>8}" + "".join(f"{name:>17}" for name in names) + "   told/h"]
    for one in results:
        cells = "".join(
            f"{f'{one.values[name]:.3f} {one.throttled_s[name]:5d}' if name in one.values else '':>17}"
            for name in names
        )
        lines.append(f"{one.case.name:<36}{one.oracle:8.3f}{cells}{one.told_per_hour:9.1f}")
    usable = [one for one in results if one.oracle >= _LEAST_VALUE]
    compared = [one for one in usable if len(one.values) == len(names)]
    means = "".join(f"{f'{fmean(one.part(name) for one in compared):.3f}':>17}" for name in names)
    lines.append(f"{f'mean part of the oracle, {len(compared)} draws':<44}{means}")
    return "\n".join(lines)


def _avoidable_s(day: Day) -> int:
    return sum(throttled and duty > _WORKING for throttled, duty in zip(day.throttled, day.duties, strict=True))


def _rows(results: Sequence[Result]) -> list[Row]:
    usable = [one for one in results if one.oracle >= _LEAST_VALUE]
    steady = [one for one in usable if one.case.event is None]
    found_c = sorted({one.case.air_c for one in steady})
    by_air = {air_c: fmean(one.part("ours") for one in steady if one.case.air_c == air_c) for air_c in found_c}
    worst_air = min(by_air, key=lambda air_c: by_air[air_c])
    worst = min(usable, key=lambda one: one.part("ours"))
    hottest = max(results, key=lambda one: one.avoidable_s)
    busiest = max(steady, key=lambda one: one.told_per_hour)
    part = fmean(one.part("ours") for one in usable)
    compared = [one for one in usable if len(one.values) == len(RIVALS)]
    parts = {name: fmean(one.part(name) for one in compared) for name in RIVALS}
    rival = max((name for name in RIVALS if name not in ("ours", "none")), key=lambda name: parts[name])
    airs = ", ".join(f"{air_c:.0f} °C {part:.3f}" for air_c, part in by_air.items())
    rates = [one.told_per_hour for one in steady]
    often = sum(rate > _MOST_TOLD for rate in rates)
    poor = sum(one.part("ours") < 0.85 for one in usable)
    return [
        Row("governor: avoidable throttled seconds, all draws", sum(one.avoidable_s for one in results), 0, True,
            f"most: {hottest.case.name}, {hottest.avoidable_s} s"),
        Row("governor: mean value relative to the oracle", part, 0.95, False, f"{len(usable)} draws"),
        Row("governor: the same, steady, worst air temperature", by_air[worst_air], 0.95, False, airs),
        Row("governor: value relative to the oracle, worst draw", worst.part("ours"), 0.85, False,
            f"{worst.case.name}; {poor} of {len(usable)} below 0.85"),
        Row("governor: value relative to the best rival", parts["ours"] / parts[rival], 1.0, False, rival),
        Row("governor: limits per camera and hour, steady, mean", fmean(rates), _MOST_TOLD, True,
            f"most: {busiest.case.name}, {busiest.told_per_hour:.0f}; {often} of {len(steady)} above {_MOST_TOLD}"),
    ]  # fmt: skip


def _foreign_rows(results: Sequence[Result]) -> list[Row]:
    usable = [one for one in results if one.oracle >= _LEAST_VALUE]
    worst = min(usable, key=lambda one: one.part("ours"))
    poor = sum(one.part("ours") < 0.85 for one in usable)
    return [
        Row("foreign heat: avoidable throttled seconds", sum(one.avoidable_s for one in results), 0, True,
            f"{sum(one.throttled_s['ours'] for one in results)} s throttled in all"),
        Row("foreign heat: mean value relative to the oracle", fmean(one.part("ours") for one in usable), 0.95, False,
            f"worst: {worst.case.name}, {worst.part('ours'):.2f}; {poor} of {len(usable)} below 0.85"),
    ]  # fmt: skip


def _back_rows(results: Sequence[Result]) -> list[Row]:
    found = {one.case.name: one.back_s for one in results if one.back_s is not None and one.oracle >= _LEAST_VALUE}
    if not found:
        return []
    worst = max(found, key=lambda name: found[name])
    detail = f"{worst}; {', '.join(map(str, sorted(found.values())))}"
    return [Row("governor: seconds until the value is back after a cause's end, most", found[worst], 120, True, detail)]


def _with_cap(one: Result) -> tuple[Result, Day, Day]:
    return one, live(one.case, capped()), oracle(one.case, lowest_clock=0.5)


def _capped(days: Sequence[tuple[Result, Day, Day]]) -> Row:
    """With a clock that may be halved, in the draws in which rivals ran."""
    days = [(one, day, best) for one, day, best in days if one.oracle >= _LEAST_VALUE]
    gain = fmean(day.value for _, day, _ in days) / fmean(one.values["ours"] for one, _, _ in days)
    part = fmean(day.value / best.value for _, day, best in days)
    throttled = sum(_avoidable_s(day) for _, day, _ in days)
    note = f"{part:.3f} of an oracle with a clock cap, {throttled} avoidable throttled seconds, {len(days)} draws"
    return Row("clock cap: mean value relative to no cap", gain, 1.0, False, note)


def _named_cases() -> list[Case]:
    """The boards of boards.py at every 3 °C."""
    plain = replace(case(0), obeying=0.5, cost_errors=(1.0,) * 4)
    return [
        replace(plain, number=air_c, board=board, air_c=float(air_c)) for board in BOARDS for air_c in _first_of(AIRS_C)
    ]


def _named(drawn: Case) -> Result:
    return measure(drawn, names=("ours",))


def _named_row(results: Sequence[Result]) -> Row:
    parts = {(one.case.board.name, one.case.air_c): one.part("ours") for one in results if one.oracle >= _LEAST_VALUE}
    for board in BOARDS:
        cells = (f"{air_c:.0f} °C {part:.3f}" for (name, air_c), part in parts.items() if name == board.name)
        print(board.name, *cells, sep="  ")
    worst = min(parts, key=lambda name: parts[name])
    return Row("governor: named boards, worst temperature", parts[worst], 0.9, False, f"{worst[0]}, {worst[1]:.0f} °C")


if __name__ == "__main__":
    print(table([measure(case(number), names=("ours",)) for number in range(*map(int, sys.argv[1:4]))]))
