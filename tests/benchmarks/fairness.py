"""Fairness: a flooding camera next to seven others, equal cameras, and weights.

The seven send at a rate that the service can handle. Their p99 is compared between runs without and with the flooding
camera. Cameras share engine time, so the flooding camera may use the time that the others leave.
"""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.report import Row
from tests.benchmarks.service import Load, Service, draw_picture, measure, running

_RATE = 3.0
_TOML = """
[cameras.cam0]
weight = 1
[cameras.cam1]
weight = 2
[cameras.cam2]
weight = 4
"""


def run(folder: Path) -> list[Row]:
    picture = draw_picture(folder)
    with running("flow.max_side=320") as service:
        rows = _flooded(service, picture)
        equal = measure(service, picture, "--cameras", "8", "--mode", "rate", "--rate", "60", "--seconds", "10")
        counts = [camera["answered"] for camera in equal.cameras.values()]
        jain = sum(counts) ** 2 / (len(counts) * sum(count * count for count in counts))
        rows.append(Row("fairness: Jain's index of equal cameras", jain, 0.98, False, f"{counts}"))
    with running("flow.max_side=320", toml=_TOML) as service:
        weighted = measure(service, picture, "--cameras", "3", "--mode", "rate", "--rate", "300", "--seconds", "12")
        one, two, four = (weighted.cameras[f"cam{n}"]["answered"] for n in range(3))
        worst = max(abs(two / one / 2 - 1), abs(four / one / 4 - 1), abs(four / two / 2 - 1))
        rows.append(Row("fairness: weights 1:2:4, worst deviation", worst, 0.05, True, f"{one} : {two} : {four}"))
    return rows


def _flooded(service: Service, picture: Path) -> list[Row]:
    quiet = [f"cam{n}" for n in range(1, 8)]
    alone, flooded = [], []
    for _ in range(2):
        alone.append(_seven(service, picture, 0.001))
        flooded.append(_seven(service, picture, 100 * _RATE))
    p99_alone = sum(load.latency_ms(99, quiet) for load in alone) / 2
    p99_flooded = sum(load.latency_ms(99, quiet) for load in flooded) / 2
    rate_alone = sum(load.cameras[name]["answered"] for load in alone for name in quiet)
    rate_flooded = sum(load.cameras[name]["answered"] for load in flooded for name in quiet)
    return [
        Row("fairness: p99 of seven with a flooding one / without",p99_flooded / p99_alone, 1.2, True,
            f"{p99_flooded:.0f} / {p99_alone:.0f} ms"),
        Row("fairness: answers to the seven with / without",rate_flooded / rate_alone, 0.99, False,
            f"{rate_flooded} / {rate_alone}"),
    ]  # fmt: skip


def _seven(service: Service, picture: Path, flood_rate: float) -> Load:
    rates = [str(flood_rate), *[str(_RATE)] * 7]
    return measure(service, picture, "--cameras", "8", "--mode", "rate", "--rate", *rates, "--seconds", "15")
