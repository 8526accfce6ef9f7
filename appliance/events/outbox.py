"""Events that wait for one receiver, bounded, so that it sees one start and one end of each object it hears of.

Rules of this file:
- `put` never waits and never fails. Past the limit, updates go first, then whole objects that the receiver has not
  heard of, the oldest first: the newest events are kept.
- An end is kept as long as anything else can be dropped, if its start was taken. An end or update without its start is
  never taken.
- Of the updates of one object, only the latest waits.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace

from appliance.events.object_event import EventKind, ObjectEvent

_MOST_HEARD = 4096
"""Objects that the receiver has heard the start of and waits for the end of."""


class EventOutbox:
    """The events for one receiver, in order."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: OrderedDict[tuple[str, EventKind], ObjectEvent] = OrderedDict()
        self._heard: OrderedDict[str, None] = OrderedDict()
        self.dropped = 0
        """Events that the receiver will never see because it was too slow."""

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, event: ObjectEvent) -> None:
        """Add an event, unless the receiver has it already or does not know the object."""
        knows = event.object_id in self._heard or (event.object_id, "start") in self._waiting
        if knows == (event.kind == "start"):
            return
        update = self._waiting.pop((event.object_id, "update"), None)
        if update is not None:
            event = replace(event, entered=(*update.entered, *event.entered), left=(*update.left, *event.left))
        self._waiting[event.object_id, event.kind] = event
        if len(self._waiting) > self._most:
            self._make_room()

    def know(self, object_ids: Iterable[str]) -> None:
        """The receiver has heard the start of these objects, over an earlier connection."""
        for object_id in object_ids:
            self._hear(object_id)

    def take(self) -> ObjectEvent | None:
        """Remove and return the event to send next; None: there is none. It counts as sent."""
        if not self._waiting:
            return None
        _, event = self._waiting.popitem(last=False)
        if event.kind == "start":
            self._hear(event.object_id)
        elif event.kind == "end":
            self._heard.pop(event.object_id, None)
        return event

    def put_back(self, event: ObjectEvent) -> None:
        """Return an event that was taken and could not be sent: it is the next again."""
        if event.kind == "start":
            self._heard.pop(event.object_id, None)
        elif event.kind == "end":
            self._hear(event.object_id)
        self._waiting[event.object_id, event.kind] = event
        self._waiting.move_to_end((event.object_id, event.kind), last=False)

    def clear(self) -> None:
        """Drop everything."""
        self.dropped += len(self._waiting)
        self._waiting.clear()

    def _hear(self, object_id: str) -> None:
        self._heard[object_id] = None
        if len(self._heard) > _MOST_HEARD:
            self._heard.popitem(last=False)

    def _make_room(self) -> None:
        """Drop the oldest update, else the oldest object that the receiver has not heard of, else the oldest end."""
        oldest: tuple[str, EventKind] | None = None
        for object_id, kind in self._waiting:
            if kind == "update":
                oldest = object_id, kind
                break
            if oldest is None and kind == "start":
                oldest = object_id, kind
        if oldest is None:
            oldest = next(iter(self._waiting))
        del self._waiting[oldest]
        self.dropped += 1
        if oldest[1] == "start" and self._waiting.pop((oldest[0], "end"), None) is not None:
            self.dropped += 1
