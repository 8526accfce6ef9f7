"""Exchange results and presence with the other devices of the site over the bus.

Rules of this file:
- A result leaves this device only if a viewer of another one wants it, and is encoded once.
- Results of others enter the outboxes of viewers like this device's own, so a slow viewer costs what it always costs.
- A result that comes more than `_LATE_S` later than its device's results usually do is dropped. The clocks of the
  devices need not agree, and may be set (see `lateness.py`).
- A server that hangs takes results with it before anybody notices. So a device keeps what it has sent for `KEEP_S`,
  and sends it again after it has joined the bus, or when another device says that it has joined. Receivers drop what
  they have. Results sent again go out a few at a time, because outboxes are short and the others are not idle, and
  newer ones wait behind them. A device that joins meanwhile waits for the next round, so that one which joins without
  end keeps no new results back.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import Meta, Struct

from appliance.ports import Clock
from appliance.site.bus import Bus, Subjects
from appliance.site.lateness import Lateness
from appliance.site.presence import EVERY_CAMERA, EVERY_S, Describe, DeviceName, Neighbours, Presence, wanted_of
from appliance.site.repeats import Repeats, SentLately

KEEP_S = 10.0
"""Longer than it takes to notice that a server hangs."""
_LATE_S = KEEP_S + 2.0
_LOOK_S = 0.2
FINDINGS_EVERY_S = 60.0
MOST_BYTES = 500_000
"""Of one message: 300 outlines. One of a megabyte can hold so many values that decoding it takes half a second."""
AGAIN, AGAIN_EVERY_S = 4, 0.025
"""Results sent again at a time. An outbox holds 32, and several devices may send again at once."""

Payload = Mapping[str, Any]


class SharedResult(Struct, frozen=True):
    """One result on the bus. `at_s`: when it was published, by its device's wall clock (since 1970)."""

    device: DeviceName
    at_s: float
    camera: Annotated[str, Meta(min_length=1, max_length=256)]
    payload: dict[str, Any]
    run: Annotated[str, Meta(max_length=64)] = ""
    """Identifies one run of the device's service. Earlier releases send neither `run` nor `up_s`."""
    up_s: float | None = None
    """When it was published, by the device's monotonic clock. Only times of the same run can be compared."""

    @property
    def sender(self) -> tuple[str, str]:
        """Whose clock `sent_s` was read from."""
        return self.device, self.run if self.up_s is not None else ""

    @property
    def sent_s(self) -> float:
        """When it was published, by the steadiest clock of its sender."""
        return self.at_s if self.up_s is None else self.up_s


class Viewers(Protocol):
    """The viewers of this device; `web/publisher.py` implements it."""

    def subscribed(self) -> frozenset[str]:
        """The cameras that they are subscribed to; `*`: all."""

    def deliver(self, camera: str, payload: dict[str, Any]) -> None:
        """Send a result of another device to its subscribers. Returns at once."""


class Exchange:
    """This device's end of the bus. Implements `Receiver` for it."""

    def __init__(
        self,
        bus: Bus,
        *,
        subjects: Subjects,
        viewers: Viewers,
        describe: Describe,
        neighbours: Neighbours,
        clock: Clock,
        wall_clock: Clock = time.time,
        findings: Callable[[], Sequence[Payload]] = tuple,
    ) -> None:
        self._bus, self._subjects, self._viewers, self._describe = bus, subjects, viewers, describe
        self.neighbours, self._clock, self._wall_clock = neighbours, clock, wall_clock
        self._lateness, self._run = Lateness(_LATE_S), secrets.token_hex(8)
        self._sent, self._repeats = SentLately(KEEP_S), Repeats(2 * _LATE_S)
        self._joined = self._presence_due = self._again_due = False
        self._findings = findings
        self._told: tuple[frozenset[tuple[str, str]], float] | None = None
        """Codes and severities of the findings that were published last, and when."""
        self.late = self.invalid = self.repeated = 0
        """Messages that were dropped."""

    def own(self) -> Presence:
        """How this device describes itself now."""
        return self._describe()

    def publish(self, camera: str, payload: Payload) -> None:
        """Offer a result of this device to the others. Returns at once."""
        if not self.neighbours.want(camera):
            return
        now_s = self._clock()
        message = {
            "device": self.neighbours.device, "at_s": self._wall_clock(), "camera": camera, "payload": payload,
            "run": self._run, "up_s": now_s,
        }  # fmt: skip
        subject, encoded = self._subjects.results_of(camera), self._encoded(message)
        if encoded is not None and self._sent.keep((subject, encoded), now_s):
            self._bus.publish(subject, encoded)

    def joined(self) -> None:
        self._joined = True
        self._sent.send_again(self._clock())

    def receive(self, subject: str, message: bytes) -> None:
        try:
            if len(message) > MOST_BYTES:
                self.invalid += 1
            elif subject == self._subjects.presence:
                self._hear(message)
            else:
                self._take(subject, msgspec.json.decode(message, type=SharedResult))
        except (msgspec.MsgspecError, RecursionError):
            self.invalid += 1

    def _take(self, subject: str, result: SharedResult) -> None:
        if result.device == self.neighbours.device or subject != self._subjects.results_of(result.camera):
            self.invalid += 1
        elif self._lateness.is_late(result.sender, result.sent_s, self._clock()):
            self.late += 1
        elif not self._repeats.is_new((*result.sender, result.camera), result.sent_s, self._clock()):
            self.repeated += 1
        else:
            self._viewers.deliver(result.camera, result.payload)

    def _hear(self, message: bytes) -> None:
        said = self.neighbours.hear(message)
        if said is None:
            self.invalid += 1
        elif said.joined:  # it may have missed results, and who is here
            self._presence_due = self._again_due = True
            self._begin_again()

    async def run(self) -> None:
        """Say how this device is, and follow what its viewers want, until cancelled."""
        subscribed: frozenset[str] | None = None
        due_s = float("-inf")
        while True:
            now_s = self._clock()
            if self._viewers.subscribed() != subscribed or now_s >= due_s or self._joined or self._presence_due:
                subscribed, due_s = self._viewers.subscribed(), now_s + EVERY_S
                self.say(subscribed)
            self.send_again()
            await asyncio.sleep(AGAIN_EVERY_S if self._sent else _LOOK_S)

    def say(self, subscribed: frozenset[str]) -> None:
        """Say how this device is, and ask for what its viewers are subscribed to."""
        own = msgspec.structs.replace(self._describe(), joined=self._joined)
        self._joined = self._presence_due = False
        self._bus.want(self._wanted(subscribed))
        self._bus.publish(self._subjects.presence, msgspec.json.encode(own))
        self._tell_findings()

    def _tell_findings(self) -> None:
        """Publish what is wrong with this device when that has changed, and once a minute: a hub may have come."""
        findings, now_s = self._findings(), self._clock()
        standing = frozenset((str(one["code"]), str(one["severity"])) for one in findings)
        if self._told is not None and self._told[0] == standing and now_s < self._told[1] + FINDINGS_EVERY_S:
            return
        if self._bus.problem is None:
            self._told = standing, now_s
        message = {"device": self.neighbours.device, "at_s": self._wall_clock(), "findings": findings}
        encoded = self._encoded(message)
        if encoded is not None:
            self._bus.publish(self._subjects.findings_of(self.neighbours.device), encoded)

    def _encoded(self, message: Payload) -> bytes | None:
        """None: it holds text that is not valid Unicode, or is too long, and is dropped."""
        with contextlib.suppress(UnicodeEncodeError):
            encoded = msgspec.json.encode(message)
            if len(encoded) <= MOST_BYTES:
                return encoded
        self.invalid += 1
        return None

    def send_again(self) -> None:
        """Send the next results that the bus may have lost."""
        self._begin_again()
        for message in self._sent.take(AGAIN):
            self._bus.publish(*message)

    def _begin_again(self) -> None:
        """Begin the next round of results sent again, once the last one has ended: new results wait behind it."""
        if self._again_due and not self._sent:
            self._again_due = False
            self._sent.send_again(self._clock())

    def _wanted(self, subscribed: frozenset[str]) -> frozenset[str]:
        cameras = wanted_of(subscribed)
        if EVERY_CAMERA in cameras:
            return frozenset({self._subjects.presence, self._subjects.all_results})
        return frozenset({self._subjects.presence, *(self._subjects.results_of(one) for one in cameras)})
