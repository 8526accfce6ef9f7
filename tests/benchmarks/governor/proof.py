"""The drawn cases: what the governor loses compared with an oracle, and what it prevents.

`make bench BENCH=governor` runs every case with an odd number, on which the governor was not tuned, those with heat
that is not the service's among them, and the named boards of boards.py at every 3 °C. Plots are written to
build/bench/governor. For tuning, `python -m tests.benchmarks.governor.proof 0 40 2` prints those cases only.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
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
_RIVALS_EVERY = 10
"""Rivals run in every fifth of the odd cases; the plots show these."""
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

    def part(self, name: str) -> float:
        return self.values[name] / self.oracle


def run(folder: Path) -> list[Row]:
    print(f"seed {SEED}, {DRAWS // 2} of {DRAWS} draws")
    results = []
    for number in range(1, DRAWS, 2):
        with_rivals = number % _RIVALS_EVERY == 1
        results.append(measure(case(number), with_rivals, RIVALS if with_rivals else ("ours",)))
    print(table(results))
    foreign = [measure(case(number), names=("ours",)) for number in range(DRAWS + 1, DRAWS + FOREIGN, 2)]
    print(table(foreign))
    return [*_rows(results), *_foreign_rows(foreign), _capped(results), _named()]


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
    )


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
    by_air = {air_c: fmean(one.part("ours") for one in steady if one.case.air_c == air_c) for air_c in AIRS_C}
    worst_air = min(by_air, key=lambda air_c: by_air[air_c])
    worst = min(usable, key=lambda one: one.part("ours"))
    hottest = max(results, key=lambda one: one.avoidable_s)
    busiest = max(steady, key=lambda one: one.told_per_hour)
    part = fmean(one.part("ours") for one in usable)
    compared = [one for one in usable if len(one.values) == len(RIVALS)]
    parts = {name: fmean(one.part(name) for one in compared) for name in RIVALS}
    rival = max((name for name in RIVALS if name not in ("ours", "none")), key=lambda name: parts[name])
    airs = ", ".join(f"{air_c} °C {part:.3f}" for air_c, part in by_air.items())
    poor = sum(one.part("ours") < 0.85 for one in usable)
    return [
        Row("governor: avoidable throttled seconds, all draws", sum(one.avoidable_s for one in results), 0, True,
            f"most: {hottest.case.name}, {hottest.avoidable_s} s"),
        Row("governor: mean value relative to the oracle", part, 0.95, False, f"{len(usable)} draws"),
        Row("governor: the same, steady, worst air temperature", by_air[worst_air], 0.95, False, airs),
        Row("governor: value relative to the oracle, worst draw", worst.part("ours"), 0.85, False,
            f"{worst.case.name}; {poor} of {len(usable)} below 0.85"),
        Row("governor: value relative to the best rival", parts["ours"] / parts[rival], 1.0, False, rival),
        Row("governor: limits per camera and hour, steady, mean", fmean(one.told_per_hour for one in steady), 12, True,
            f"most: {busiest.case.name}, {busiest.told_per_hour:.0f}"),
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


def _capped(results: Sequence[Result]) -> Row:
    """With a clock that may be halved, in the draws in which rivals ran."""
    compared = [one for one in results if len(one.values) == len(RIVALS) and one.oracle >= _LEAST_VALUE]
    days = [(one, live(one.case, capped()), oracle(one.case, lowest_clock=0.5)) for one in compared]
    gain = fmean(day.value for _, day, _ in days) / fmean(one.values["ours"] for one, _, _ in days)
    part = fmean(day.value / best.value for _, day, best in days)
    throttled = sum(_avoidable_s(day) for _, day, _ in days)
    note = f"{part:.3f} of an oracle with a clock cap, {throttled} avoidable throttled seconds, {len(days)} draws"
    return Row("clock cap: mean value relative to no cap", gain, 1.0, False, note)


def _named() -> Row:
    """The boards of boards.py at every 3 °C."""
    parts = {}
    for board in BOARDS:
        for air_c in AIRS_C:
            drawn = replace(case(0), number=air_c, board=board, air_c=float(air_c), obeying=0.5, cost_errors=(1.0,) * 4)
            one = measure(drawn, names=("ours",))
            if one.oracle >= _LEAST_VALUE:
                parts[board.name, air_c] = one.part("ours")
    for board in BOARDS:
        print(board.name, *(f"{air_c} °C {parts.get((board.name, air_c), 0):.3f}" for air_c in AIRS_C), sep="  ")
    worst = min(parts, key=lambda name: parts[name])
    return Row("governor: named boards, worst temperature", parts[worst], 0.9, False, f"{worst[0]}, {worst[1]} °C")


if __name__ == "__main__":
    print(table([measure(case(number), names=("ours",)) for number in range(*map(int, sys.argv[1:4]))]))
