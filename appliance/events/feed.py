"""Turn every camera's results into events, and hand each event to all receivers.

Rules of this file:
- It runs after a result has been published, so that no frame waits for it. A receiver takes an event and returns.
- Memory is bounded: objects by camera, cameras with objects, recent events, and pictures by their size.
- Events are recalled for a while, so that a subscriber that was away can continue where it stopped.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from appliance.events.object_event import EndReason, ObjectEvent
from appliance.events.objects import EventRules, ObjectFollower, Sight
from appliance.ports import Clock
from appliance.values import Detected, Frame, Outcome, is_own_camera
from appliance.vision.pictures import Pictures

log = logging.getLogger(__name__)

Receive = Callable[[ObjectEvent], None]
"""Takes an event. Returns at once and never raises."""

MOST_RECALLED = 1000
"""Events that a returning subscriber can catch up with, about 1 kB each."""
MAX_PICTURE_BYTES = 16_000_000
"""Best pictures of all events together."""
_MOST_CAMERAS = 256
"""Cameras with objects at the same time."""
_TICK_S = 1.0


@dataclass(frozen=True, slots=True)
class Occupancy:
    """How many objects of each class are in front of a camera now, and in each of its zones."""

    classes: Counter[str] = field(default_factory=Counter)
    zones: dict[str, Counter[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recall:
    """What a subscriber gets first. `known`: ids of objects whose start it has already."""

    events: tuple[ObjectEvent, ...]
    known: frozenset[str]
    resumed: bool
    """False: it has missed events, or is new; it gets the starts of the objects that are present."""


class EventFeed:
    """Follows all cameras' objects. `rules` may change at any time; None: events are off.

    `pictures_allowed`: whether pictures may be kept.
    """

    def __init__(
        self, rules: EventRules | None, *, pictures_allowed: bool, clock: Clock, wall_clock: Clock = time.time
    ) -> None:
        self._rules, self._pictures_allowed = rules, pictures_allowed
        self._clock, self._wall_clock = clock, wall_clock
        self._followers: dict[str, ObjectFollower] = {}
        self._receivers: list[Receive] = []
        self._run = secrets.token_hex(4)
        self._numbers, self._ids = itertools.count(1), itertools.count(1)
        self._recent: deque[ObjectEvent] = deque(maxlen=MOST_RECALLED)
        self._present: dict[str, ObjectEvent] = {}
        """The start of each object that has not ended."""
        self._frame: Frame | None = None
        self.pictures = Pictures(MAX_PICTURE_BYTES)

    def add(self, receive: Receive) -> None:
        """Send all further events to this receiver too."""
        self._receivers.append(receive)

    def follow(self, rules: EventRules | None) -> None:
        """Apply new rules; None: end all objects and stop."""
        self._rules = rules
        if rules is None:
            self.close("events_off")
        for follower in self._followers.values():
            follower.rules = rules or follower.rules

    def note(self, frame: Frame, outcome: Outcome) -> None:
        """Take the outcome of a frame. Never raises."""
        if self._rules is None or not isinstance(outcome, Detected) or is_own_camera(frame.camera):
            return
        follower = self._followers.get(frame.camera)
        if follower is None:
            if not outcome.detections or len(self._followers) >= _MOST_CAMERAS:
                return
            follower = self._followers[frame.camera] = self._follower(frame.camera, self._rules)
        wall_s = self._wall_clock() - (self._clock() - frame.received_s)
        self._frame = frame
        try:
            self._send(follower.see(Sight(outcome.detections, outcome.image_size, frame.received_s, wall_s)))
        except Exception:
            log.exception("events failed: camera=%s", frame.camera, extra={"kind": "events", "camera": frame.camera})
        finally:
            self._frame = None
        if not len(follower):
            del self._followers[frame.camera]

    def occupancy(self, camera: str) -> Occupancy:
        """What is in front of a camera now."""
        occupancy = Occupancy()
        follower = self._followers.get(camera)
        for name, zones in follower.present() if follower is not None else ():
            occupancy.classes[name] += 1
            for zone in zones:
                occupancy.zones.setdefault(zone, Counter())[name] += 1
        return occupancy

    def recall(self, wants: Callable[[str], bool], after: object = None) -> Recall:
        """What a subscriber to the cameras that it `wants` gets first. `after`: the cursor of its last event."""
        present = [event for event in self._present.values() if wants(event.camera)]
        number = self._number_of(after)
        if number is None:
            return Recall(tuple(present), frozenset(), resumed=False)
        later = [event for event in self._recent if event.number > number and wants(event.camera)]
        started = {event.object_id for event in later if event.kind == "start"}
        known = {event.object_id for event in (*later, *present)} - started
        return Recall(tuple(later), frozenset(known), resumed=True)

    def close(self, reason: EndReason) -> None:
        """End all objects."""
        for follower in self._followers.values():
            self._send(follower.close(reason))
        self._followers.clear()

    async def run(self) -> None:
        """End the objects of silent cameras, until cancelled."""
        while True:
            await asyncio.sleep(_TICK_S)
            self.tick()

    def tick(self) -> None:
        now_s = self._clock()
        for camera, follower in list(self._followers.items()):
            self._send(follower.silent(now_s))
            if not len(follower):
                del self._followers[camera]

    def _follower(self, camera: str, rules: EventRules) -> ObjectFollower:
        return ObjectFollower(
            camera,
            rules,
            run=self._run,
            new_id=lambda: f"{self._run}{next(self._ids):x}",
            new_number=lambda: next(self._numbers),
            best=self._keep_picture,
        )

    def _keep_picture(self, object_id: str) -> bool:
        if not self._pictures_allowed or self._frame is None:
            return False
        self.pictures.put(object_id, self._frame)
        return True

    def _send(self, events: Iterable[ObjectEvent]) -> None:
        for event in events:
            if event.kind == "start":
                self._present[event.object_id] = event
            elif event.kind == "end":
                self._present.pop(event.object_id, None)
            self._recent.append(event)
            for receive in self._receivers:
                self._give(receive, event)

    @staticmethod
    def _give(receive: Receive, event: ObjectEvent) -> None:
        """Hand an event to a receiver. Its fault costs neither the others nor later events."""
        try:
            receive(event)
        except Exception:
            log.exception(
                "a receiver failed on an event: camera=%s", event.camera,
                extra={"kind": "event_receiver", "camera": event.camera},
            )  # fmt: skip

    def _number_of(self, cursor: object) -> int | None:
        """The number in a cursor of this process whose later events are all recalled; None: there is no such."""
        run, _, number = (cursor if isinstance(cursor, str) else "").partition("-")
        if run != self._run or not number.isascii() or not number.isdecimal() or len(number) > 18:
            return None
        oldest = self._recent[0].number if self._recent else 1
        return int(number) if int(number) >= oldest - 1 else None
