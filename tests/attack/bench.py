"""Run attacks one after another, each between two calm phases, and measure the service from outside."""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.attack.attackers import Attack
from tests.attack.cameras import LOST_MS
from tests.attack.victim import ROOT, Victim

MOST_P99_RATIO = 1.2
MOST_MORE_MB = 300.0
MOST_GAP_S = 2.0
MOST_LINES_A_MINUTE = 100.0
_ANSWERED_WITHIN_S = 20.0
_MOST_AFTER = 3.0
_NOISY_MS = 1000.0
"""A calm p99 above this is caused by other load on the machine."""
_LAST_S = 5.0
_LEAST_FRAMES = 20
"""A phase with fewer frames has no p99, because the cameras were disconnected."""


@dataclass(frozen=True, slots=True)
class Phases:
    """The duration of each phase, s."""

    attack_s: float
    settle_s: float
    calm_s: float


@dataclass(slots=True)
class Found:
    """The results of one attack."""

    attack: str
    p99_before_ms: float
    p99_ms: float
    p99_after_ms: float
    more_mb: float
    gap_s: float
    lines_a_minute: float
    tracebacks: int
    alive: bool
    answered: bool
    unanswered: dict[str, int]
    """The good cameras' frames without an answer during the attack, by outcome."""
    unanswered_calm: dict[str, int]
    """The same for the calm phase after it."""
    attackers: dict[str, int]

    @property
    def ratio(self) -> float:
        return self.p99_ms / self.calm_p99_ms

    @property
    def calm_p99_ms(self) -> float:
        """The worse of the two calm phases, because the speed of a shared machine varies.

        The phase after the attack counts only up to a multiple of the one before: the attack may still affect it.
        """
        after_ms = self.p99_after_ms if math.isfinite(self.p99_after_ms) else 0.0
        return max(self.p99_before_ms, min(after_ms, _MOST_AFTER * self.p99_before_ms))

    @property
    def noisy(self) -> bool:
        """Whether the machine was too busy to judge the p99."""
        return not self.p99_before_ms < _NOISY_MS

    @property
    def broken(self) -> list[str]:
        """The limits that were exceeded."""
        held = {
            "p99": self.noisy or self.ratio < MOST_P99_RATIO, "memory": self.more_mb <= MOST_MORE_MB,
            "watchdog": self.gap_s <= MOST_GAP_S, "log": self.lines_a_minute < MOST_LINES_A_MINUTE,
            "traceback": self.tracebacks == 0, "alive": self.alive, "answers": self.answered,
        }  # fmt: skip
        shown = [name.partition(": ")[2] for name in self.attackers if name.startswith("vulnerable")]
        return [name for name, holds in held.items() if not holds] + shown


@dataclass(slots=True)
class GoodCameras:
    """The frames that the process of the cameras reports, each as (time sent, latency in ms, outcome)."""

    frames: list[tuple[float, float, str]] = field(default_factory=list)

    def p99_ms(self, since_s: float, until_s: float) -> float:
        inside = [ms for at, ms, _ in self.frames if since_s <= at < until_s]
        return float(np.percentile(inside, 99)) if len(inside) >= _LEAST_FRAMES else float("inf")

    def unanswered(self, since_s: float, until_s: float) -> dict[str, int]:
        """The number of frames without detections, by outcome."""
        return dict(Counter(end for at, ms, end in self.frames if since_s <= at < until_s and ms >= LOST_MS))

    def answered_since(self, since_s: float, most_ms: float) -> bool:
        return any(at >= since_s and ms < most_ms for at, ms, _ in self.frames)


@contextlib.contextmanager
def pushing(url: str, picture: Path) -> Iterator[GoodCameras]:
    """Run the four good cameras."""
    cameras = GoodCameras()
    command = [sys.executable, "-m", "tests.attack.cameras", url, str(picture)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)

    def read() -> None:
        for line in process.stdout or ():
            report: dict[str, Any] = json.loads(line)
            if "ms" in report:
                cameras.frames.append((report["at"], report["ms"], report["event"]))

    threading.Thread(target=read, daemon=True).start()
    try:
        yield cameras
    finally:
        process.kill()
        process.wait()


@dataclass(slots=True)
class Bench:
    """A service and its cameras. `idle_mb`: its memory without an attack."""

    victim: Victim
    cameras: GoodCameras
    phases: Phases
    idle_mb: float = 0.0

    def settle(self) -> None:
        """Wait until all input sizes are compiled and all buffers have their size."""
        time.sleep(8)
        self.idle_mb = self.victim.resident_mb()
        time.sleep(self.phases.calm_s)

    def measure(self, attack: Attack) -> Found:
        """Run one attack and the calm phase after it. The calm phase before it has just ended."""
        with _attackers(attack, self.victim.url, self.phases.attack_s) as process:
            started_s, lines = time.monotonic(), len(self.victim.log_lines())
            self.victim.forget_peak()
            late_lines = self._log_rate_at_the_end(_LAST_S, process)
            attackers = _outcome(process)
        ended_s = time.monotonic()
        peak_mb = self.victim.resident_mb(peak=True)
        time.sleep(self.phases.settle_s)
        logged = self.victim.log_lines()[lines:]
        calm_from_s = time.monotonic()
        answered = self._answers()
        time.sleep(max(0.0, calm_from_s + self.phases.calm_s - time.monotonic()))
        ended_calm_s = time.monotonic()
        return Found(
            attack=attack.name,
            p99_before_ms=self.cameras.p99_ms(started_s - self.phases.calm_s, started_s),
            p99_ms=self.cameras.p99_ms(started_s, ended_s),
            p99_after_ms=self.cameras.p99_ms(calm_from_s, ended_calm_s - 0.5),
            more_mb=peak_mb - self.idle_mb,
            gap_s=self.victim.longest_gap_s(started_s, calm_from_s),
            lines_a_minute=max(len(logged), late_lines),
            tracebacks=sum("Traceback (most recent call last)" in line for line in logged),
            alive=self.victim.alive,
            answered=answered,
            unanswered=self.cameras.unanswered(started_s, ended_s),
            unanswered_calm=self.cameras.unanswered(calm_from_s, ended_calm_s - 0.5),
            attackers=attackers,
        )

    def _log_rate_at_the_end(self, seconds: float, process: subprocess.Popen[str]) -> float:
        """Log lines per minute at the end of an attack; 0 if the attack is too short.

        A message with a rate limit uses up its lines per minute at the start, so they are counted without scaling. One
        without a limit continues, and is found here.
        """
        if self.phases.attack_s < 3 * seconds:
            return 0.0
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(self.phases.attack_s - seconds)
        lines = len(self.victim.log_lines())
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        return (len(self.victim.log_lines()) - lines) * 60 / seconds

    def _answers(self) -> bool:
        """Whether a good frame that is sent after this call is answered."""
        since_s = time.monotonic()
        while time.monotonic() < since_s + _ANSWERED_WITHIN_S and self.victim.alive:
            if self.cameras.answered_since(since_s, most_ms=4000):
                return True
            time.sleep(0.05)
        return False


@contextlib.contextmanager
def _attackers(attack: Attack, url: str, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """Start the process of the attackers, and wait until the attack has started."""
    command = [sys.executable, "-m", "tests.attack.attackers", attack.name, url, f"{seconds}"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    timer = threading.Timer(seconds + 120, process.kill)
    timer.start()
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n", f"the attack '{attack.name}' did not start"
        yield process
    finally:
        timer.cancel()
        process.kill()
        process.wait()


def _outcome(process: subprocess.Popen[str]) -> dict[str, int]:
    output, _ = process.communicate()
    assert process.returncode == 0, "an attacker has a fault of its own; see above"
    return dict(json.loads(output))
