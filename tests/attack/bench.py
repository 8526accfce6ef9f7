"""One attack after another, each between two calm phases, and what was seen from outside."""

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
"""A calm p99 of this much is not the service's."""
_LAST_S = 5.0
_LEAST_FRAMES = 20
"""A phase with fewer has no p99; the cameras were cut off."""


@dataclass(frozen=True, slots=True)
class Phases:
    """How long each phase lasts, s."""

    attack_s: float
    settle_s: float
    calm_s: float


@dataclass(slots=True)
class Found:
    """What one attack did."""

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
    """Of the good cameras' frames during the attack."""
    unanswered_calm: dict[str, int]
    """And in the calm phase after it."""
    attackers: dict[str, int]

    @property
    def ratio(self) -> float:
        return self.p99_ms / self.calm_p99_ms

    @property
    def calm_p99_ms(self) -> float:
        """The worse of the two calm phases: the machine is shared, and they show by how much it varies.

        One after the attack that is far worse than the one before is no reference: it may be the attack's own work.
        """
        after_ms = self.p99_after_ms if math.isfinite(self.p99_after_ms) else 0.0
        return max(self.p99_before_ms, min(after_ms, _MOST_AFTER * self.p99_before_ms))

    @property
    def noisy(self) -> bool:
        """Whether the machine was too busy with something else to say anything about the p99."""
        return not self.p99_before_ms < _NOISY_MS

    @property
    def broken(self) -> list[str]:
        """The bounds that did not hold."""
        held = {
            "p99": self.noisy or self.ratio < MOST_P99_RATIO, "memory": self.more_mb <= MOST_MORE_MB,
            "watchdog": self.gap_s <= MOST_GAP_S, "log": self.lines_a_minute < MOST_LINES_A_MINUTE,
            "traceback": self.tracebacks == 0, "alive": self.alive, "answers": self.answered,
        }  # fmt: skip
        shown = [name.partition(": ")[2] for name in self.attackers if name.startswith("vulnerable")]
        return [name for name, holds in held.items() if not holds] + shown


@dataclass(slots=True)
class GoodCameras:
    """What the cameras' process prints: (when sent, latency in ms, how it ended) of each frame."""

    frames: list[tuple[float, float, str]] = field(default_factory=list)

    def p99_ms(self, since_s: float, until_s: float) -> float:
        inside = [ms for at, ms, _ in self.frames if since_s <= at < until_s]
        return float(np.percentile(inside, 99)) if len(inside) >= _LEAST_FRAMES else float("inf")

    def unanswered(self, since_s: float, until_s: float) -> dict[str, int]:
        """The frames that were not answered with detections, by what came instead."""
        return dict(Counter(end for at, ms, end in self.frames if since_s <= at < until_s and ms >= LOST_MS))

    def answered_since(self, since_s: float, most_ms: float) -> bool:
        return any(at >= since_s and ms < most_ms for at, ms, _ in self.frames)


@contextlib.contextmanager
def pushing(url: str, picture: Path) -> Iterator[GoodCameras]:
    """The four good cameras."""
    cameras = GoodCameras()
    command = [sys.executable, "-m", "tests.attack.cameras", url, str(picture)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)

    def read() -> None:
        for line in process.stdout or ():
            said: dict[str, Any] = json.loads(line)
            if "ms" in said:
                cameras.frames.append((said["at"], said["ms"], said["event"]))

    threading.Thread(target=read, daemon=True).start()
    try:
        yield cameras
    finally:
        process.kill()
        process.wait()


@dataclass(slots=True)
class Bench:
    """A service, its cameras, and the memory that it has with nothing but them."""

    victim: Victim
    cameras: GoodCameras
    phases: Phases
    idle_mb: float = 0.0

    def settle(self) -> None:
        """Before the first attack: all shapes are compiled, all buffers have their size."""
        time.sleep(8)
        self.idle_mb = self.victim.resident_mb()
        time.sleep(self.phases.calm_s)

    def measure(self, attack: Attack) -> Found:
        """Attack once; the calm phase before it has just passed."""
        with _attackers(attack, self.victim.url, self.phases.attack_s) as process:
            begun_s, lines = time.monotonic(), len(self.victim.log_lines())
            self.victim.forget_peak()
            late_lines = self._lines_in_its_last(_LAST_S, process)
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
            p99_before_ms=self.cameras.p99_ms(begun_s - self.phases.calm_s, begun_s),
            p99_ms=self.cameras.p99_ms(begun_s, ended_s),
            p99_after_ms=self.cameras.p99_ms(calm_from_s, ended_calm_s - 0.5),
            more_mb=peak_mb - self.idle_mb,
            gap_s=self.victim.longest_gap_s(begun_s, calm_from_s),
            lines_a_minute=max(len(logged), late_lines),
            tracebacks=sum("Traceback (most recent call last)" in line for line in logged),
            alive=self.victim.alive,
            answered=answered,
            unanswered=self.cameras.unanswered(begun_s, ended_s),
            unanswered_calm=self.cameras.unanswered(calm_from_s, ended_calm_s - 0.5),
            attackers=attackers,
        )

    def _lines_in_its_last(self, seconds: float, process: subprocess.Popen[str]) -> float:
        """Log lines a minute at the end of an attack; 0 for one too short to have an end.

        What is thinned out writes all its lines of a minute at the start: they are counted as they are. What is not
        goes on writing, and is seen here.
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
        """Whether a good frame that was sent from now on is answered."""
        since_s = time.monotonic()
        while time.monotonic() < since_s + _ANSWERED_WITHIN_S and self.victim.alive:
            if self.cameras.answered_since(since_s, most_ms=4000):
                return True
            time.sleep(0.05)
        return False


@contextlib.contextmanager
def _attackers(attack: Attack, url: str, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """The attackers' process, from the moment on that it has begun."""
    command = [sys.executable, "-m", "tests.attack.attackers", attack.name, url, f"{seconds}"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    timer = threading.Timer(seconds + 120, process.kill)
    timer.start()
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n", f"the attack '{attack.name}' did not begin"
        yield process
    finally:
        timer.cancel()
        process.kill()
        process.wait()


def _outcome(process: subprocess.Popen[str]) -> dict[str, int]:
    said, _ = process.communicate()
    assert process.returncode == 0, "the attackers themselves are wrong; see above"
    return dict(json.loads(said))
