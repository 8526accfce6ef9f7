"""What happens to the site, and what it does to the cameras."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from statistics import median

from tests.site.trial.cameras import Record
from tests.site.trial.lab import Device, Lab

_BACK_S = 40.0
_POLL_S = 0.1
_ANSWER_S = 5.0
"""For answers to frames that were accepted during a scene."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a scene has done to the cameras that were on the device; times in seconds."""

    scene: str
    cameras: int
    back: int
    first_s: float
    median_s: float
    last_s: float
    unanswered: int
    """Accepted frames without an answer, on all devices."""
    limit_s: float
    may_lose: bool
    """The device died with the frames that it had accepted."""

    @property
    def passed(self) -> bool:
        return self.back == self.cameras and self.last_s <= self.limit_s and (self.may_lose or not self.unanswered)

    def row(self) -> str:
        return (
            f"{self.scene:<34} {self.cameras:>7} {self.back:>5} {self.first_s:>7.2f} {self.median_s:>7.2f} "
            f"{self.last_s:>7.2f} {self.limit_s:>6.1f} {self.unanswered:>10} {'ok' if self.passed else 'FAILED':>7}"
        )


HEAD = (
    f"{'scene':<34} {'cameras':>7} {'back':>5} {'first s':>7} {'median':>7} {'last':>7} {'limit':>6} {'unanswered':>10}"
)


class Stage:
    """Runs scenes on a site."""

    def __init__(self, site: Lab, records: list[Record]) -> None:
        self.site, self.records = site, records

    def on(self, device: str) -> list[Record]:
        """The cameras whose last result came from this device."""
        return [one for one in self.records if (last := one.last()) is not None and last.device == device]

    def counts(self) -> dict[str, int]:
        return {device.name: len(self.on(device.name)) for device in self.site.devices}

    async def gone_from(
        self, scene: str, device: Device, act: Callable[[], Awaitable[object]], *, limit_s: float, moved: bool = False,
        all_of_them: bool = True, within_s: float = _BACK_S,
    ) -> Seen:  # fmt: skip
        """Act, and wait until the device's cameras are answered elsewhere.

        `moved`: time counts from when the camera's next frame was due after its last answer on this device, otherwise
        from the act.
        """
        begun, affected = time.monotonic(), self.on(device.name)
        await act()
        since = time.monotonic() if not moved else begun
        until = begun + within_s
        back: dict[str, float] = {}
        while time.monotonic() < until and (len(back) < len(affected)):
            await asyncio.sleep(_POLL_S)
            for one in affected:
                at = one.first_elsewhere(begun, device.name)
                if at is not None and one.name not in back and (all_of_them or one.kind == "plain"):
                    back[one.name] = at - (one.last_before(begun, at) + one.interval_s if moved else since)
        affected = affected if all_of_them else [one for one in affected if one.name in back]
        return await self._seen(scene, affected, back, begun, limit_s, may_lose=not moved)

    async def all_back(self, scene: str, act: Callable[[], Awaitable[object]], *, limit_s: float) -> Seen:
        """Act, and wait until every camera has another result."""
        begun = time.monotonic()
        await act()
        since = time.monotonic()
        back: dict[str, float] = {}
        while time.monotonic() < begun + _BACK_S and len(back) < len(self.records):
            await asyncio.sleep(_POLL_S)
            for one in self.records:
                at = next((f.answered_s for f in one.frames if f.device and f.at_s > since), None)
                if at is not None and one.name not in back:
                    back[one.name] = at - since
        return await self._seen(scene, self.records, back, begun, limit_s, may_lose=True)

    async def _seen(
        self, scene: str, affected: list[Record], back: dict[str, float], begun: float, limit_s: float, may_lose: bool
    ) -> Seen:  # fmt: skip
        times = sorted(max(0.0, one) for one in back.values()) or [0.0]
        until = time.monotonic()
        while lost := sum(one.unanswered(begun - 0.5, until) for one in self.records):
            if time.monotonic() >= until + _ANSWER_S:  # a busy device answers after seconds
                break
            await asyncio.sleep(_POLL_S)
        return Seen(scene, len(affected), len(back), times[0], median(times), times[-1], lost, limit_s, may_lose)

    async def goodput(self, seconds: float) -> float:
        """Results a second, all cameras together."""
        begun = time.monotonic()
        await asyncio.sleep(seconds)
        now = time.monotonic()
        answered = sum(f.event == "detection_results" and (f.answered_s or 0) > begun
                       for one in self.records for f in one.frames)  # fmt: skip
        return answered / (now - begun)


async def scenes(stage: Stage, *, quick: bool) -> Iterable[Seen]:
    """All scenes, one after another."""
    site, seen = stage.site, []
    one, two, three = site.devices
    loop = asyncio.get_running_loop()

    async def blocking(act: Callable[[], object]) -> None:
        await loop.run_in_executor(None, act)

    def note(what: Seen) -> None:
        print(what.row(), stage.counts(), flush=True)
        seen.append(what)

    note(await stage.gone_from("killed (SIGKILL)", one, lambda: blocking(one.kill), limit_s=5.0))
    await blocking(one.start)
    note(await stage.gone_from("drained", two, lambda: blocking(two.control.drain), limit_s=3.0, moved=True))
    await blocking(two.control.undrain)
    await asyncio.sleep(3)
    note(await stage.gone_from("frozen (SIGSTOP)", three, lambda: blocking(lambda: three.signal(signal.SIGSTOP)),
                               limit_s=5.0))  # fmt: skip
    await blocking(lambda: three.signal(signal.SIGCONT))
    await asyncio.sleep(3)
    if site.namespaced:
        note(
            await stage.gone_from("network cable pulled", one, lambda: blocking(lambda: one.unplug(True)), limit_s=5.0)
        )
        await blocking(lambda: one.unplug(False))
        await asyncio.sleep(3)

    def restart_front() -> None:
        site.stop_front()
        site.start_front()

    note(await stage.all_back("front restarted", lambda: blocking(restart_front), limit_s=8.0))
    for device in site.devices:  # a rolling update

        def stop(device: Device = device) -> None:
            device.signal(signal.SIGTERM)

        note(await stage.gone_from(f"stopped for an update: {device.name}", device, lambda: blocking(stop), limit_s=3.0,
                                   moved=True))  # fmt: skip
        await blocking(device.stop)
        await blocking(device.start)
        await asyncio.sleep(3)
    note(await _hot(stage, blocking, quick))
    return seen


async def _hot(stage: Stage, blocking: Callable[[Callable[[], object]], Awaitable[None]], quick: bool) -> Seen:
    """The board with the most cameras gets hot and cool again, once they have been there for `site.settle_s`."""
    device = stage.site.device(max(stage.counts(), key=lambda name: stage.counts()[name]))
    await asyncio.sleep(65)
    before = {one.name: one.moved for one in stage.records}

    async def heat() -> None:
        device.heat(84.0)

    seen = await stage.gone_from(f"hot: {device.name}", device, heat, limit_s=3.0, moved=True, all_of_them=False,
                                 within_s=90 if quick else 240)  # fmt: skip
    device.heat(50.0)
    moves = [one.moved - before[one.name] for one in stage.records]
    print(f"  moved by heat: {seen.back} of {seen.cameras} cameras; at most {max(moves)} times each", flush=True)
    return seen
