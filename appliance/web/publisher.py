"""Outgoing mail: each client's outbox, the watchers of cameras, and the pictures that watchers see.

Rules of this file:
- Posting never waits. A client that stops reading fills its transport, then its outbox; then its oldest mail is dropped
  and counted. Nothing else grows.
- One client's transport that fails costs that client its mail, and nobody else anything.
- Pictures are kept of cameras that somebody watches, or of all that are connected (`server.keep_pictures`), one each.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import anyio

from appliance.values import CameraLimits, Detected, Frame, Outcome, is_own_camera
from appliance.web import payloads
from appliance.web.frame_parser import HTTP_PREFIX
from appliance.web.payloads import Payload
from appliance.web.pictures import Pictures

log = logging.getLogger(__name__)

Emit = Callable[[str, Payload, str], Awaitable[None]]
"""Hands an event and its payload to the transport of a client (its sid)."""

Backlog = Callable[[str], int]
"""Packets that the transport of a client has not yet written."""

EVERY = "*"
MOST_WATCHED = 1000
"""Names that one client may subscribe to."""
MOST_WATCHED_IN_ALL = 20_000
"""Names that all clients together may subscribe to, about 10 MB: 2000 clients could fill a small device's memory."""
_IN_TRANSPORT = 8
_IN_OUTBOX = 32
_MOST_UNREAD = 64
"""Acknowledgements go past the outbox: who lets this many lie is not heard until it has read them."""
_RETRY_S = 0.02


@dataclass(slots=True)
class _Client:
    camera: str
    outbox: deque[tuple[str, Payload]] = field(default_factory=lambda: deque(maxlen=_IN_OUTBOX))
    skips: deque[tuple[str, Payload]] = field(default_factory=lambda: deque(maxlen=_IN_OUTBOX))
    """Behind all else: a camera that floods would push its own answers out of the outbox with them."""
    limits: Payload | None = None
    """Not mail but a state: only the newest counts, it goes first, and no mail can push it out."""
    watches: set[str] = field(default_factory=set)
    """Cameras, or EVERY."""


class Publisher:
    """Delivers outcomes and limits. `post`, `publish` and `announce` return at once; `run` does the writing."""

    def __init__(self, *, emit: Emit, backlog: Backlog, keep_pictures: bool = False) -> None:
        self._emit, self._backlog, self._keep_pictures = emit, backlog, keep_pictures
        self._clients: dict[str, _Client] = {}
        self._of_camera: dict[str, set[str]] = {}
        self._watchers: dict[str, set[str]] = {}
        self._watching = 0
        """Names in the clients' subscriptions."""
        self._dirty: set[str] = set()
        self._mail = asyncio.Event()
        self._pictures = Pictures()
        self.dropped = 0
        """Mail that slow readers never got."""

    def __len__(self) -> int:
        return len(self._clients)

    def join(self, sid: str, camera: str) -> None:
        """A client has connected. A second time changes nothing: its camera stays the first one."""
        if sid in self._clients:
            return
        self._clients[sid] = _Client(camera)
        self._of_camera.setdefault(camera, set()).add(sid)

    def leave(self, sid: str) -> str | None:
        """Forget a client; the camera it was, if it was known."""
        client = self._clients.pop(sid, None)
        if client is None:
            return None
        self.unwatch(sid, list(client.watches), client)
        mates = self._of_camera[client.camera]
        mates.discard(sid)
        if not mates:
            del self._of_camera[client.camera]
            self._pictures.drop(client.camera)
        self._dirty.discard(sid)
        return client.camera

    def camera_of(self, sid: str) -> str | None:
        client = self._clients.get(sid)
        return client.camera if client else None

    def watch(self, sid: str, cameras: Iterable[str]) -> bool:
        """This client hears of these cameras' results from now on; False, and nothing done, if they are too many."""
        cameras, client = set(cameras), self._clients.get(sid)
        if client is None:
            return False
        new = cameras - client.watches
        if len(client.watches) + len(new) > MOST_WATCHED or self._watching + len(new) > MOST_WATCHED_IN_ALL:
            return False
        self._watching += len(new)
        for camera in new:
            client.watches.add(camera)
            self._watchers.setdefault(camera, set()).add(sid)
        return True

    def unwatch(self, sid: str, cameras: Iterable[str], client: _Client | None = None) -> None:
        client = client or self._clients.get(sid)
        if client is None:
            return
        for camera in cameras:
            self._watching -= camera in client.watches
            client.watches.discard(camera)
            watchers = self._watchers.get(camera, set())
            watchers.discard(sid)
            if not watchers:
                self._watchers.pop(camera, None)
        self._pictures.keep_only(self._is_wanted)

    def latest(self, camera: str) -> Frame | None:
        """The newest answered frame of a camera whose pictures are kept."""
        return self._pictures.get(camera)

    def _is_wanted(self, camera: str) -> bool:
        """Whether this camera's picture is kept. Who has left leaves nothing, and a lane of HTTP never leaves."""
        if camera in self._watchers or EVERY in self._watchers:
            return camera in self._of_camera or camera.startswith(HTTP_PREFIX)
        return self._keep_pictures and camera in self._of_camera

    def publish(self, frame: Frame, outcome: Outcome) -> None:
        """A frame's outcome: to its sender, and results to the watchers of its camera."""
        if is_own_camera(frame.camera):
            return  # nobody waits for it
        event, payload = payloads.of_outcome(frame, outcome)
        self.post(frame.sender, event, payload)
        if not isinstance(outcome, Detected):
            return
        if self._is_wanted(frame.camera):
            self._pictures.put(frame)
        for sid in self._watchers.get(frame.camera, set()) | self._watchers.get(EVERY, set()):
            if sid != frame.sender:
                self.post(sid, event, payload)

    def announce(self, camera: str, limits: CameraLimits) -> None:
        """New limits to every client of this camera."""
        for sid in self._of_camera.get(camera, ()):
            client = self._clients.get(sid)
            if client is not None:
                client.limits = payloads.of_limits(limits)
                self._dirty.add(sid)
        self._mail.set()

    def post(self, sid: str, event: str, payload: Payload) -> None:
        """Put one event into a client's outbox; who is not connected gets none."""
        client = self._clients.get(sid)
        if client is None:
            return
        box = client.skips if event == "frame_skipped" else client.outbox
        if len(box) == _IN_OUTBOX:
            self.dropped += 1
        box.append((event, payload))
        self._dirty.add(sid)
        self._mail.set()

    async def room(self, sid: str) -> None:
        """Wait until a client has read most of what its transport holds; at once for who reads, or has left."""
        while sid in self._clients and self._backlog(sid) >= _MOST_UNREAD:  # noqa: ASYNC110  # no transport signals it
            await asyncio.sleep(_RETRY_S)

    async def run(self) -> None:
        """Write what is posted, until cancelled."""
        while True:
            await self._mail.wait()
            self._mail.clear()
            for sid in list(self._dirty):
                await self._deliver_or_drop(sid)
            if self._dirty:  # the rest read slowly: look again in a moment, or with the next mail
                with anyio.move_on_after(_RETRY_S):
                    await self._mail.wait()
                self._mail.set()

    async def delivered(self, within_s: float) -> None:
        """Wait until everything that was posted has been written, at most this long."""
        with anyio.move_on_after(within_s):
            while self._dirty or any(self._backlog(sid) for sid in list(self._clients)):  # noqa: ASYNC110  # see `room`
                await asyncio.sleep(_RETRY_S)

    async def _deliver_or_drop(self, sid: str) -> None:
        try:
            await self._deliver(sid)
        except Exception:
            client = self._clients.get(sid)
            camera = client.camera if client is not None else "-"
            log.exception(
                "could not send to a client of camera %s; dropped what was waiting for it", camera,
                extra={"kind": "delivery", "camera": camera},
            )  # fmt: skip
            self._dirty.discard(sid)
            if client is not None:
                self.dropped += len(client.outbox) + len(client.skips)
                client.outbox.clear()
                client.skips.clear()
                client.limits = None

    async def _deliver(self, sid: str) -> None:
        while (client := self._clients.get(sid)) is not None and (client.limits or client.outbox or client.skips):
            if self._backlog(sid) >= _IN_TRANSPORT:
                return
            if client.limits is not None and not _greeting(client):
                event, payload, client.limits = "limits", client.limits, None
            else:
                event, payload = (client.outbox or client.skips).popleft()
            await self._emit(event, payload, sid)
        self._dirty.discard(sid)


def _greeting(client: _Client) -> bool:
    """Whether `connected` is still to be sent, which comes before all else."""
    return bool(client.outbox) and client.outbox[0][0] == "connected"
