"""`make bench`: run all benchmarks, or those named. Prints a table, and writes JSON and SVG to build/bench.

The exit code is 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.benchmarks import (
    agent,
    allocation,
    cable,
    camera_health,
    crops,
    decoding,
    fairness,
    gate,
    goodput,
    health,
    int8,
    isolation,
    ladder,
    lightning,
    links,
    literal,
    memory,
    obeying,
    overload,
    page,
    pauses,
    quiet,
    report,
    site_scale,
    tracks,
)
from tests.benchmarks.governor import faults, proof, real
from tests.benchmarks.service import ROOT

BENCHMARKS = {
    "goodput": goodput.run,
    "overload": overload.run,
    "obeying": obeying.run,
    "fairness": fairness.run,
    "health": health.run,
    "gate": gate.run,
    "literal": literal.run,
    "litserve": lightning.run,
    "memory": memory.run,
    "ladder": ladder.run,
    "links": links.run,
    "int8": int8.run,
    "agent": agent.run,
    "allocation": allocation.run,
    "cable": cable.run,
    "camera_health": camera_health.run,
    "crops": crops.run,
    "decoding": decoding.run,
    "isolation": isolation.run,
    "page": page.run,
    "pauses": pauses.run,
    "quiet": quiet.run,
    "tracks": tracks.run,
    "site_scale": site_scale.run,
    "governor": proof.run,
    "governor_service": real.run,
    "governor_faults": faults.run,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench")
    arguments = parser.parse_args()
    rows: list[report.Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(arguments.names or BENCHMARKS, 1):
            print(f"[{number}/{len(arguments.names or BENCHMARKS)}] {name} …", file=sys.stderr, flush=True)
            found = BENCHMARKS[name](Path(folder))
            print(report.show(found), flush=True)
            report.write(found, arguments.out, name)
            rows += found
    missed = [row for row in rows if not row.ok]
    print(f"{len(rows) - len(missed)} of {len(rows)} goals reached; JSON and SVG in {arguments.out}")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
