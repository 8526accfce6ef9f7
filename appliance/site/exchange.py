"""Exchange results and presence with the other devices of the site over the bus.

Rules of this file:
- A result leaves this device only if a viewer of another one wants it, and is encoded once.
- Results of others enter the outboxes of viewers like this device's own, so a slow viewer costs what it always costs.
- A result that comes more than `_LATE_S` later than its device's results usually do is dropped. The clocks of the
  devices need not agree.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import Meta, Struct

from appliance.ports import Clock
from appliance.site.bus import Bus, Subjects
from appliance.site.presence import EVERY_CAMERA, EVERY_S, Describe, DeviceName, Neighbours, Presence, wanted_of

_LATE_S = 5.0
_DRIFT_S_PER_S = 0.001
_LOOK_S = 0.2

Payload = Mapping[str, Any]


class SharedResult(Struct, frozen=True):
    """One result on the bus. `at_s`: when it was published, by its device's clock."""

    device: DeviceName
    at_s: float
    camera: Annotated[str, Meta(min_length=1, max_length=256)]
    payload: dict[str, Any]


class Viewers(Protocol):
    """The viewers of this device; `web/publisher.py` implements it."""

    def subscribed(self) -> frozenset[str]:
        """The cameras that they are subscribed to; `*`: all."""

    def deliver(self, camera: str, payload: dict[str, Any]) -> None:
        """Send a result of another device to its subscribers. Returns at once."""


class Lateness:
    """How late a message is, relative to the earliest ones of its sender, without a common clock."""

    def __init__(self) -> None:
        self._least: dict[str, tuple[float, float]] = {}

    def of(self, sender: str, sent_s: float, now_s: float) -> float:
        """Seconds later than usual. The reference drifts upwards slowly, as clocks do."""
        delay = now_s - sent_s
        least, at_s = self._least.get(sender, (delay, now_s))
        least = min(delay, least + (now_s - at_s) * _DRIFT_S_PER_S)
        self._least[sender] = least, now_s
        return delay - least


class Exchange:
    """This device's end of the bus. Its `receive` gets what the bus carries."""

    def __init__(
        self,
        *,
        subjects: Subjects,
        viewers: Viewers,
        describe: Describe,
        neighbours: Neighbours,
        clock: Clock,
        wall_clock: Clock = time.time,
    ) -> None:
        self._subjects, self._viewers, self._describe = subjects, viewers, describe
        self.neighbours, self._clock, self._wall_clock = neighbours, clock, wall_clock
        self._lateness = Lateness()
        self.bus: Bus | None = None
        self.late = self.invalid = 0
        """Messages that were dropped."""

    def own(self) -> Presence:
        """How this device describes itself now."""
        return self._describe()

    def publish(self, camera: str, payload: Payload) -> None:
        """Offer a result of this device to the others. Returns at once."""
        if self.bus is None or not self.neighbours.want(camera):
            return
        message = {"device": self.neighbours.device, "at_s": self._wall_clock(), "camera": camera, "payload": payload}
        self.bus.publish(self._subjects.results_of(camera), msgspec.json.encode(message))

    def receive(self, subject: str, message: bytes) -> None:
        """Take a message of another device."""
        if subject == self._subjects.presence:
            self.invalid += not self.neighbours.hear(message)
            return
        try:
            result = msgspec.json.decode(message, type=SharedResult)
        except msgspec.MsgspecError:
            self.invalid += 1
            return
        if result.device == self.neighbours.device or subject != self._subjects.results_of(result.camera):
            self.invalid += 1
        elif self._lateness.of(result.device, result.at_s, self._clock()) > _LATE_S:
            self.late += 1
        else:
            self._viewers.deliver(result.camera, result.payload)

    async def run(self) -> None:
        """Say how this device is, and follow what its viewers want, until cancelled."""
        assert self.bus is not None
        subscribed: frozenset[str] | None = None
        due_s = float("-inf")
        while True:
            now_s = self._clock()
            if self._viewers.subscribed() != subscribed or now_s >= due_s:
                subscribed, due_s = self._viewers.subscribed(), now_s + EVERY_S
                self.bus.want(self._wanted(subscribed))
                self.bus.publish(self._subjects.presence, msgspec.json.encode(self._describe()))
            await asyncio.sleep(_LOOK_S)

    def _wanted(self, subscribed: frozenset[str]) -> frozenset[str]:
        cameras = wanted_of(subscribed)
        if EVERY_CAMERA in cameras:
            return frozenset({self._subjects.presence, self._subjects.all_results})
        return frozenset({self._subjects.presence, *(self._subjects.results_of(one) for one in cameras)})
