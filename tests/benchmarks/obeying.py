"""Four cameras that keep to their limits, compared with four clients that post pictures one after the other, in turns.

Obeying must not cost capacity: a camera waits between frames, so that the engine has nothing to do if too little was
allocated. Each phase starts with new cameras; what they get in their first ten seconds is not counted.
"""

from __future__ import annotations

import os
import statistics
from pathlib import Path

from tests.benchmarks.report import Row
from tests.benchmarks.service import Load, draw_picture, measure, running

_TURNS = int(os.environ.get("TURNS", "4"))
_WARM_UP_S, _SECONDS = 10, 20


def run(folder: Path) -> list[Row]:
    picture = draw_picture(folder)
    obeying: list[Load] = []
    posting: list[Load] = []

    def phase(mode: str) -> Load:
        name = f"{mode}{len(obeying) + len(posting)}-"
        return measure(
            service, picture, "--cameras", "4", "--mode", mode, "--prefix", name,
            "--warm-up", str(_WARM_UP_S), "--seconds", str(_SECONDS),
        )  # fmt: skip

    with running("cache.enabled=false") as service:
        for turn in range(_TURNS):
            posting.append(phase("post"))
            obeying.append(phase("obey"))
            print(f"turn {turn + 1}: {obeying[-1].fps:.1f} obeying, {posting[-1].fps:.1f} posting", flush=True)
    ratios = [ours.fps / theirs.fps for ours, theirs in zip(obeying, posting, strict=True)]
    detail = "; ".join(
        f"{ours.fps:.1f}/{theirs.fps:.1f}" for ours, theirs in zip(obeying, posting, strict=True)
    )  # fmt: skip
    skipped, answered = sum(load.skipped() for load in obeying), sum(load.answered for load in obeying)
    return [
        Row("obeying cameras / HTTP posts", statistics.median(ratios), 0.95, False, f"answers/s {detail}"),
        Row("obeying cameras: frames skipped", skipped, 0, True, f"of {answered}"),
    ]
