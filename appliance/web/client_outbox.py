"""What waits for one client: its outbox, and which event it gets next."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from appliance.events.object_event import payload_of
from appliance.events.outbox import EventOutbox
from appliance.web.payloads import AnyPayload

IN_OUTBOX = 32
_EVENTS_IN_OUTBOX = 128


@dataclass(slots=True)
class ClientOutbox:
    """One client of the publisher."""

    camera: str
    outbox: deque[tuple[str, AnyPayload]] = field(default_factory=lambda: deque(maxlen=IN_OUTBOX))
    skips: deque[tuple[str, AnyPayload]] = field(default_factory=lambda: deque(maxlen=IN_OUTBOX))
    """Sent after everything else, so that the skips of a flooding camera do not push its results out of the outbox."""
    limits: AnyPayload | None = None
    """A state, not an event: only the latest is sent, before other events, and it is never dropped."""
    events: EventOutbox = field(default_factory=lambda: EventOutbox(_EVENTS_IN_OUTBOX))
    """Events of its subscriptions, sent before results, so that results never push them out."""
    predicts: bool = False
    """Whether it asked for predicted answers to the frames that it sends and that are skipped."""


def take_next(client: ClientOutbox) -> tuple[str, AnyPayload] | None:
    """Remove and return what a client gets next; None: nothing waits."""
    if not _greets_next(client):
        if client.limits is not None:
            limits, client.limits = client.limits, None
            return "limits", limits
        event = client.events.take()
        if event is not None:
            return "event", payload_of(event)
    queue = client.outbox or client.skips
    return queue.popleft() if queue else None


def _greets_next(client: ClientOutbox) -> bool:
    """Whether `connected`, which must be the first event, has not been sent yet."""
    return bool(client.outbox) and client.outbox[0][0] == "connected"
