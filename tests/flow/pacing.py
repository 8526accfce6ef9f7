"""A simulated device with cameras that keep to their limits, on a clock of its own: real pace, mailboxes and cameras.

The engine has `slots` slots. A frame takes `seconds` of one, which the device reports as `reported_s` (decoding shares
the cores, so that the two differ). Cameras send a little later than they may; `closed` ones also wait for their answer.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from appliance.flow.cameras import CameraBook, CameraPolicy
from appliance.flow.mailboxes import Mailboxes
from appliance.flow.pace import Pace
from appliance.values import CameraLimits, Frame, Limits
from tests.fakes import FakeClock
from tests.flow import frames

_TICK_S = 0.5


@dataclass(frozen=True)
class SimulatedCamera:
    """How a camera behaves. Times in s."""

    closed: bool = False
    """It sends only after its last answer."""
    late_s: float = 0.002
    """How much later than it may it sends, on average."""
    hears_s: float = 0.01
    """How long new limits are under way."""
    at_most_fps: float = 1000.0
    faster_from_s: float = float("inf")
    """From when on it sends as often as it may."""
    floods: bool = False
    from_s: float = 0.0
    cost: float = 1.0
    """Of its frames, relative to others."""
    policy: CameraPolicy = field(default_factory=CameraPolicy)


@dataclass
class Simulation:
    """Run cameras against the real pace and mailboxes; `answered` and `skipped` hold times since the start."""

    cameras: dict[str, SimulatedCamera]
    slots: int = 2
    seconds: float = 0.05
    reported_s: float = 0.05
    jitter: float = 0.1
    slower: Callable[[float], float] = lambda at_s: 1.0
    """By which factor the engine is slower, at a time since the start."""
    stalls: tuple[tuple[float, float], ...] = ()
    """From and until when nothing is processed, s."""
    changes: tuple[tuple[float, Limits], ...] = ()
    """The governor's limits, and from when they apply."""
    sides: dict[int, float] = field(default_factory=dict)
    """Cost of a frame at other input sizes, relative to the first."""
    limits: Limits = field(default_factory=lambda: Limits(640, 0.0, 8))
    seed: int = 1
    answered: dict[str, list[float]] = field(default_factory=dict)
    skipped: dict[str, list[float]] = field(default_factory=dict)
    announced: list[tuple[float, str, CameraLimits]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    uses: list[tuple[float, float]] = field(default_factory=list)

    def run(self, until_s: float) -> Simulation:
        self._chance, self._clock = random.Random(self.seed), FakeClock()
        self._start_s = self._clock()
        self._numbers = itertools.count()
        policies = {name: camera.policy for name, camera in self.cameras.items()}
        self._book = CameraBook(policies=policies, burst=3)
        self.pace = Pace(
            self._book, limits=self.limits, announce=self._announce, jpeg_quality=80, clock=self._clock,
        )  # fmt: skip
        self._mailboxes = Mailboxes(max_cameras=100, max_bytes=10**9, max_age_s=2.0, clock=self._clock)
        self.pace.learn(self.slots, self.reported_s)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._intervals: dict[str, float] = {}
        self._in_flight: Counter[str] = Counter()
        self._last_s: dict[str, float] = {}
        self._planned: dict[str, int] = {}
        self.answered = {name: [] for name in self.cameras}
        self.skipped = {name: [] for name in self.cameras}
        self._at(self._start_s + _TICK_S, self._tick)
        for at_s, limits in self.changes:
            self._at(self._start_s + at_s, partial(self._apply, limits))
        for name, camera in self.cameras.items():
            self._at(self._start_s + camera.from_s + self._chance.uniform(0, 0.1), partial(self._join, name))
        self.run_on(until_s)
        return self

    def run_on(self, for_s: float) -> None:
        """Run for some seconds more."""
        until_s = self._clock() + for_s
        while self._events[0][0] < until_s:
            at_s, _, act = heapq.heappop(self._events)
            self._clock.pass_(at_s - self._clock())
            act()

    @property
    def now_s(self) -> float:
        return self._clock() - self._start_s

    def fps(self, since_s: float, until_s: float, name: str | None = None) -> float:
        """Answers a second."""
        lists = self.answered.values() if name is None else [self.answered[name]]
        return sum(since_s <= at_s < until_s for times in lists for at_s in times) / (until_s - since_s)

    def part(self, since_s: float, until_s: float) -> float:
        """Part of the peak that was answered."""
        return self.fps(since_s, until_s) * self.seconds / self.slots

    def count_skipped(self, since_s: float = 0.0) -> int:
        """Frames skipped, of cameras that keep to their limits."""
        return sum(
            at_s >= since_s for name, times in self.skipped.items() for at_s in times if not self.cameras[name].floods
        )

    def _at(self, at_s: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (at_s, next(self._numbers), act))

    def _announce(self, name: str, limits: CameraLimits) -> None:
        self.announced.append((self.now_s, name, limits))

        def heard() -> None:
            self._intervals[name] = limits.min_interval_s
            self._plan(name)

        self._at(self._clock() + self.cameras[name].hears_s, heard)

    def _apply(self, limits: Limits) -> None:
        self.pace.apply(limits)

    def _join(self, name: str) -> None:
        self._intervals[name] = self.pace.join(name).min_interval_s
        self._last_s[name] = float("-inf")
        self._plan(name)

    def _plan(self, name: str) -> None:
        """Decide anew when this camera sends next."""
        camera = self.cameras[name]
        if name not in self._last_s or (camera.closed and self._in_flight[name]):
            return
        slowest_s = 0.0 if self.now_s >= camera.faster_from_s else 1 / camera.at_most_fps
        interval_s = 0.005 if camera.floods else max(self._intervals[name], slowest_s)
        due_s = max(self._clock(), self._last_s[name] + interval_s)
        self._planned[name] = number = self._planned.get(name, 0) + 1
        self._at(due_s + self._chance.expovariate(1 / camera.late_s), lambda: self._send(name, number))

    def _send(self, name: str, number: int) -> None:
        if self._planned[name] != number:
            return
        now_s, camera = self._clock(), self._book.enter(name)
        self._last_s[name] = now_s
        self._in_flight[name] += 1
        camera.arrived(now_s)
        if camera.rate_limiter.take(now_s, self.pace.enforced_interval(camera)) > 0:
            self.pace.refused()
            self._skip(name)
        else:
            lost = self._mailboxes.offer(
                frames.frame(name, seed=1, at_s=now_s), weight=camera.policy.weight, priority=camera.policy.priority,
                most=camera.most_in_flight, places=self.pace.places(camera),
            )  # fmt: skip
            for frame, _ in lost:
                self._lose(frame)
        if not self.cameras[name].closed:
            self._plan(name)
        self._start_frames()

    def _lose(self, frame: Frame) -> None:
        self.pace.waited(self._book.enter(frame.camera), self._clock() - frame.received_s)
        self._skip(frame.camera)

    def _skip(self, name: str) -> None:
        self.skipped[name].append(self.now_s)
        self._in_flight[name] -= 1
        if self.cameras[name].closed:
            self._at(self._clock(), lambda: self._plan(name))

    def _start_frames(self) -> None:
        while self._mailboxes.in_flight < self.pace.usable_slots() and len(self._mailboxes):
            before = self._mailboxes.in_flight
            if self._mailboxes._next() is None:
                return
            frame = self._mailboxes.take(partial(int, before + 1))
            assert frame is not None
            wait_s = self._clock() - frame.received_s
            self.waits.append(wait_s)
            slower = self.slower(self.now_s) * self.cameras[frame.camera].cost
            slower *= self.sides.get(self.pace.limits.max_side, 1.0)
            took_s = self.seconds * slower * self._chance.uniform(1 - self.jitter, 1 + self.jitter)
            done_s = self._clock() + took_s
            for from_s, until_s in self.stalls:
                if from_s <= done_s - self._start_s <= until_s + took_s:
                    done_s = max(done_s, self._start_s + until_s + took_s)
            reported_s = self.reported_s * slower * self._chance.uniform(1 - self.jitter, 1 + self.jitter)
            self._at(done_s, partial(self._done, frame, wait_s, reported_s))

    def _done(self, frame: Frame, wait_s: float, reported_s: float) -> None:
        camera = self._book.enter(frame.camera)
        self._mailboxes.done(frame.camera, reported_s)
        if frame.received_s >= self.pace.applied_s:
            camera.cost.note(self.pace.limits.max_side, reported_s)
        self.pace.waited(camera, wait_s)
        self.answered[frame.camera].append(self.now_s)
        self._in_flight[frame.camera] -= 1
        if self.cameras[frame.camera].closed:
            self._plan(frame.camera)
        self._start_frames()

    def _tick(self) -> None:
        self.pace.used(self._mailboxes.take_usage(self.pace.usable_slots()))
        self.pace.update()
        for frame, _ in self._mailboxes.expire():
            self._lose(frame)
        self.uses.append((self.now_s, self.pace.use))
        self._start_frames()
        self._at(self._clock() + _TICK_S, self._tick)
