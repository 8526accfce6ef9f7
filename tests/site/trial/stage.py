"""Acts on the site, and measures what that does to cameras and viewers."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from tests.site.trial.cameras import Record, Sent
from tests.site.trial.lab import Device, Lab
from tests.site.trial.wall import Wall

_BACK_S = 40.0
_POLL_S = 0.1
_ANSWER_S = 5.0
"""For answers to frames that were accepted during a scene."""
_LATE_S = 12.0
"""For results that viewers of other devices get later."""
_CALM_S = 3.0

Act = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a scene has done to cameras and viewers; times in seconds. No times: no camera had to go."""

    scene: str
    cameras: int
    back: Mapping[str, float]
    """When each camera was answered again."""
    unanswered: int
    """Accepted frames without an answer, on all devices."""
    missed: int
    """Results that viewers at the devices that were not touched did not get, without those of the device that died."""
    results: int
    """That these viewers should have got."""
    limit_s: float
    may_lose: bool
    """The device died with the frames that it had accepted."""

    @property
    def passed(self) -> bool:
        quick = all(one <= self.limit_s for one in self.back.values())
        return len(self.back) == self.cameras and quick and not self.missed and (self.may_lose or not self.unanswered)

    def row(self) -> str:
        times = sorted(self.back.values()) or [0.0]
        slowest = max(self.back, key=lambda name: self.back[name], default="")
        return (
            f"{self.scene:<36} {self.cameras:>7} {len(self.back):>5} {times[0]:>7.2f} {median(times):>7.2f} "
            f"{times[-1]:>7.2f} {self.limit_s:>6.1f} {self.unanswered:>10} {self.missed:>7} {self.results:>7} "
            f"{'ok' if self.passed else 'FAILED':>7}  {slowest}"
        )


HEAD = (
    f"{'scene':<36} {'cameras':>7} {'back':>5} {'first s':>7} {'median':>7} {'last':>7} {'limit':>6} "
    f"{'unanswered':>10} {'missed':>7} {'results':>7}"
)


class Stage:
    """Runs scenes on a site, one after another. `seen`: their outcomes."""

    def __init__(self, site: Lab, records: Sequence[Record], walls: Sequence[Wall]) -> None:
        self.site, self.records, self._walls = site, records, walls
        self.seen: list[Seen] = []

    def on(self, device: str) -> list[Record]:
        """The cameras whose last result came from this device."""
        return [one for one in self.records if (last := one.last()) is not None and last.device == device]

    def counts(self) -> dict[str, int]:
        return {device.name: len(self.on(device.name)) for device in self.site.devices}

    async def blocking(self, act: Act) -> None:
        await asyncio.get_running_loop().run_in_executor(None, act)

    async def calm(self) -> None:
        """Wait until each wall has seen every result of the last seconds."""
        until = time.monotonic() + _BACK_S
        await asyncio.sleep(_CALM_S)
        while self._missed(time.monotonic() - _CALM_S - 1, time.monotonic() - 1, ())[0] and time.monotonic() < until:
            await asyncio.sleep(0.5)

    async def gone_from(
        self, scene: str, device: Device, act: Act, *, limit_s: float, moved: bool = False
    ) -> None:  # fmt: skip
        """Act, and wait until the device's cameras are answered elsewhere.

        `moved`: time counts from when the camera's next frame was due after its last answer on this device, otherwise
        from the act, or from the first frame after it: many cameras send every three seconds.
        """
        await self.calm()
        begun, affected = time.monotonic(), self.on(device.name)
        await self.blocking(act)
        acted, back = time.monotonic(), dict[str, float]()
        since = {one.name: begun if moved else acted for one in affected}

        def due(one: Record, at: float) -> float:
            return one.due_after(begun, at) if moved else one.first_open(acted)

        while time.monotonic() < begun + _BACK_S and len(back) < len(affected):
            await asyncio.sleep(_POLL_S)
            self._look(
                since, back, device, lambda one, at: one.due_after(begun, at) if moved else one.first_open(acted)
            )
        await self._note(scene, len(affected), back, begun, limit_s, may_lose=not moved, touched=(device.name,))

    async def asked_to_go(
        self, scene: str, device: Device, act: Act, reason: str, *, limit_s: float, within_s: float
    ) -> None:
        """Act, and wait until the device has sent cameras away for this reason and they are answered elsewhere.

        Time counts from when each was sent away, because a hot device asks for few frames before that, or from when its
        next frame was due after the last answer there.
        """
        await self.calm()
        begun, before = time.monotonic(), device.moves()
        await self.blocking(act)
        back: dict[str, float] = {}
        sent_away: dict[str, float] = {}
        looked = changed = begun
        while time.monotonic() < begun + within_s and (not sent_away or time.monotonic() < changed + _BACK_S / 4):
            await asyncio.sleep(_POLL_S)
            for name in {name for name, why in device.moves() - before if why == reason} - sent_away.keys():
                sent_away[name], changed = looked, time.monotonic()
            looked = time.monotonic()
            self._look(sent_away, back, device, lambda one, at: one.due_after(begun, at))
        await self._note(scene, max(1, len(sent_away)), back, begun, limit_s, may_lose=False, touched=())

    async def all_back(self, scene: str, act: Act, *, limit_s: float) -> None:
        """Act, and wait until every camera has another result."""
        await self.calm()
        begun = time.monotonic()
        await self.blocking(act)
        since, back = time.monotonic(), dict[str, float]()
        while time.monotonic() < begun + _BACK_S and len(back) < len(self.records):
            await asyncio.sleep(_POLL_S)
            for one in self.records:
                at = next((f.answered_s for f in one.frames if f.device and f.at_s > since), None)
                if at is not None:
                    back.setdefault(one.name, at - since)
        await self._note(scene, len(self.records), back, begun, limit_s, may_lose=True, touched=())

    async def undisturbed(self, scene: str, act: Act, seconds: float) -> None:
        """Act, and wait; no camera and no viewer is to notice."""
        await self.calm()
        begun = time.monotonic()
        await self.blocking(act)
        await asyncio.sleep(seconds)
        await self._note(scene, 0, {}, begun, 0.0, may_lose=False, touched=())

    def _look(
        self, since: Mapping[str, float], back: dict[str, float], device: Device, due: Callable[[Record, float], float]
    ) -> None:
        """Note who is answered elsewhere, and how late. Counted from `since`, or from when its frame was due."""
        for one in self.records:
            if one.name in since and one.name not in back:
                at = one.first_elsewhere(since[one.name], device.name)
                if at is not None:
                    back[one.name] = max(0.0, at - max(since[one.name], due(one, at)))

    async def _note(
        self, scene: str, cameras: int, back: Mapping[str, float], begun: float, limit_s: float, *, may_lose: bool,
        touched: Collection[str],
    ) -> None:  # fmt: skip
        until = time.monotonic()
        while lost := sum(one.unanswered(begun - 0.5, until) for one in self.records):
            if time.monotonic() >= until + _ANSWER_S:  # a busy device answers after seconds
                break
            await asyncio.sleep(_POLL_S)
        while self._missed(begun, until, touched)[0] and time.monotonic() < until + _LATE_S:
            await asyncio.sleep(_POLL_S)
        missed, results = self._missed(begun, until, touched)
        seen = Seen(scene, cameras, back, lost, missed, results, limit_s, may_lose)
        self.seen.append(seen)
        print(seen.row(), self.counts(), flush=True)

    def _missed(self, since_s: float, until_s: float, touched: Collection[str]) -> tuple[int, int]:
        """Results of this time that viewers have missed, and how many there were for them. Not counted: `touched`."""
        due = {
            (one.name, frame.number)
            for one in self.records
            for frame in _of_time(one, since_s, until_s)
            if frame.device and frame.device not in touched
        }
        walls = [one for one in self._walls if one.device.name not in touched]
        return sum(len(due - wall.seen) for wall in walls), len(due) * len(walls)

    async def goodput(self, seconds: float) -> float:
        """Results a second, all cameras together."""
        begun = time.monotonic()
        await asyncio.sleep(seconds)
        now = time.monotonic()
        answered = sum(f.event == "detection_results" and (f.answered_s or 0) > begun
                       for one in self.records for f in one.frames)  # fmt: skip
        return answered / (now - begun)


def _of_time(one: Record, since_s: float, until_s: float) -> list[Sent]:
    """The frames that were sent in this time. They are in order, and most are older."""
    found = list(itertools.takewhile(lambda frame: frame.at_s >= since_s, reversed(one.frames)))
    return [frame for frame in found if frame.at_s < until_s]
