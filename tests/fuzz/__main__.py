"""`make fuzz`: run mutated inputs against all targets, and print a table.

The exit code is 1 after a crash, a hang or an unexpected exception. The same seed creates the same inputs;
`--only TARGET --first INDEX -n 1` repeats one of them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.target import Target
from tests.fuzz.worker import TARGETS

ROOT = Path(__file__).parents[2]
_PARTS = 10
"""The inputs of each target are divided into this many parts, one process each."""
_HANGS_S = 60


@dataclass(slots=True)
class Tally:
    """The results of one target."""

    inputs: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[tuple[int, str]] = field(default_factory=list)


def fuzz(target: Target, seed: int, first: int, count: int, tally: Tally) -> None:
    """Run one part. A process that dies or hangs is a finding; the next process continues after that input."""
    started_s, end = time.monotonic(), first + count
    while first < end:
        with tempfile.NamedTemporaryFile() as progress:
            progress.write(bytes(8))
            progress.flush()
            command = [sys.executable, "-m", "tests.fuzz.worker", target.name, str(seed), str(first), str(end - first)]
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ | {"PROGRESS": progress.name}
            )
            hung = _wait(process, Path(progress.name))
            lines = [json.loads(line) for line in process.stdout or () if line.startswith("{")]
            tally.findings += [(line["index"], line["why"]) for line in lines if "index" in line]
            at = int.from_bytes(Path(progress.name).read_bytes(), "little")
        if lines and "done" in lines[-1]:
            tally.outcomes.update(lines[-1]["outcomes"])
            tally.inputs += lines[-1]["done"]
            break
        why = f"hung for {_HANGS_S} s" if hung else f"the process ended with exit status {process.returncode}"
        tally.findings.append((at, why))
        tally.inputs += max(at - first, 0) + 1
        first = max(at, first) + 1
    tally.seconds += time.monotonic() - started_s


def _wait(process: subprocess.Popen[str], progress: Path) -> bool:
    """Wait for the process; return whether it was killed because it made no progress."""
    at, since_s = b"", time.monotonic()
    while True:
        try:
            process.wait(1)
            return False
        except subprocess.TimeoutExpired:
            if (now := progress.read_bytes()) != at:
                at, since_s = now, time.monotonic()
            elif time.monotonic() - since_s > _HANGS_S:
                process.kill()
                process.wait()
                return True


def show(tallies: dict[str, Tally], seed: int) -> str:
    lines = [f"{'target':<10} {'inputs':>9} {'per s':>9} {'findings':>9}  outcomes"]
    for name, tally in tallies.items():
        outcomes = ", ".join(f"{outcome} {count}" for outcome, count in tally.outcomes.most_common(8))
        speed = tally.inputs / max(tally.seconds, 0.001)
        lines.append(f"{name:<10} {tally.inputs:9} {speed:9.0f} {len(tally.findings):9}  {outcomes}")
    lines.append(f"{'all':<10} {sum(tally.inputs for tally in tallies.values()):9} inputs of seed {seed}")
    for name, tally in tallies.items():
        alike = {why.strip().splitlines()[-1][-60:]: (index, why) for index, why in reversed(tally.findings)}
        for index, why in list(alike.values())[:10]:
            lines.append(f"\n{name} {index} (make fuzz SEED={seed} ONLY={name} FIRST={index} N=1):\n{why}")
    return "\n".join(lines)


def parts(targets: Sequence[Target], n: int, first: int) -> list[tuple[Target, int, int]]:
    """The target, first input and number of inputs of each process. A single target gets all inputs."""
    whole = sum(target.share for target in targets)
    found = []
    for part in range(_PARTS):
        for target in targets:
            count = round(n * target.share / whole)
            low, high = count * part // _PARTS, count * (part + 1) // _PARTS
            if low < high:
                found.append((target, first + low, high - low))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=1_000_000, help="inputs for all targets together")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--first", type=int, default=0, help="number of the first input of each target")
    parser.add_argument("--only", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start no process after this time")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    tallies = {name: Tally() for name in arguments.only}
    until_s = time.monotonic() + arguments.seconds

    def one(part: tuple[Target, int, int]) -> None:
        target, first, count = part
        if time.monotonic() < until_s:
            fuzz(target, arguments.seed, first, count, tallies[target.name])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        chosen = [TARGETS[name] for name in arguments.only]
        for part in pool.map(one, parts(chosen, arguments.n, arguments.first)):
            assert part is None
    print(show(tallies, arguments.seed))
    return 1 if any(tally.findings for tally in tallies.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
