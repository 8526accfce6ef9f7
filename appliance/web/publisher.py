"""Outgoing events: an outbox for each client, and the pictures for subscribers.

Rules of this file:
- Posting never waits. A client that stops reading fills its transport, then its outbox; after that its oldest events
  are dropped and counted. Nothing grows without a limit.
- If the transport of one client fails, only that client loses events.
- One picture is kept of each camera that has subscribers, or of all connected cameras (`server.keep_pictures`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

import anyio

from appliance.camera_names import HTTP_PREFIX
from appliance.events.feed import Recall
from appliance.events.object_event import ObjectEvent
from appliance.flow.optional import optional
from appliance.values import CameraLimits, Detected, Failed, Frame, FrameId, Outcome, Skipped, is_own_camera
from appliance.vision.pictures import Pictures
from appliance.web import payloads
from appliance.web.client_outbox import IN_OUTBOX, ClientOutbox, take_next
from appliance.web.payloads import AnyPayload
from appliance.web.subscriptions import Subscriptions

log = logging.getLogger(__name__)

Emit = Callable[[str, AnyPayload, str], Awaitable[None]]
"""Passes an event and its payload to the transport of a client (its sid)."""

Backlog = Callable[[str], int]
"""The number of packets that the transport of a client has not written yet."""

PredictAnswer = Callable[[str, float], Detected | None]
"""What a camera probably shows at a time (s, monotonic); None: nobody knows."""

_IN_TRANSPORT = 8
_MAX_UNREAD = 64
"""Acknowledgements bypass the outbox. A client with this many unread packets is not served until it has read them."""
_RETRY_S = 0.02


class Publisher:
    """Delivers outcomes and limits to clients. `post`, `publish` and `announce` return at once; `run` sends."""

    def __init__(
        self,
        *,
        emit: Emit,
        backlog: Backlog,
        keep_pictures: bool = False,
        predict: PredictAnswer = lambda camera, at_s: None,
    ) -> None:
        self._emit, self._backlog, self._keep_pictures, self._predict = emit, backlog, keep_pictures, predict
        self._clients: dict[str, ClientOutbox] = {}
        self._of_camera: dict[str, set[str]] = {}
        self._subscriptions = Subscriptions()
        self._pending: set[str] = set()
        """Clients with events to send."""
        self._posted = asyncio.Event()
        self._pictures = Pictures()
        self.elsewhere: Callable[[str, AnyPayload], None] | None = None
        """Offers each result to other devices; returns at once."""
        self.dropped = 0
        """Events dropped because a client read too slowly."""

    def __len__(self) -> int:
        return len(self._clients)

    def join(self, sid: str, camera: str, *, predicts: bool = False) -> None:
        """Add a client. If it is known already, nothing changes: it keeps its first camera.

        `predicts`: a frame of it that is skipped gets a predicted answer, if there is one.
        """
        if sid in self._clients:
            return
        self._clients[sid] = ClientOutbox(camera, predicts=predicts)
        self._of_camera.setdefault(camera, set()).add(sid)

    def leave(self, sid: str) -> str | None:
        """Remove a client. Returns its camera, or None if the client is unknown."""
        client = self._clients.pop(sid, None)
        if client is None:
            return None
        self._subscriptions.leave(sid)
        clients = self._of_camera[client.camera]
        clients.discard(sid)
        if not clients:
            del self._of_camera[client.camera]
            self._pictures.drop(client.camera)
        self._pictures.keep_only(self._keeps_picture)
        self._pending.discard(sid)
        return client.camera

    def clients_of(self, camera: str) -> tuple[str, ...]:
        """The clients that send under this name."""
        return tuple(self._of_camera.get(camera, ()))

    def clients(self) -> list[tuple[str, str]]:
        """All clients, each with its camera."""
        return [(sid, client.camera) for sid, client in self._clients.items()]

    def is_idle(self, sid: str) -> bool:
        """Whether everything that was posted to a client has left its queues."""
        return sid not in self._pending and not self._backlog(sid)

    def camera_of(self, sid: str) -> str | None:
        client = self._clients.get(sid)
        return client.camera if client else None

    def subscribe(self, sid: str, cameras: Iterable[str], *, of_site: bool = True) -> bool:
        """Send the results of these cameras to this client. False if they exceed a limit; then nothing changes.

        `of_site` False: from now on it gets nothing of other devices.
        """
        return sid in self._clients and self._subscriptions.add(sid, cameras, of_site=of_site)

    def unsubscribe(self, sid: str, cameras: Iterable[str]) -> None:
        self._subscriptions.remove(sid, cameras)
        self._pictures.keep_only(self._keeps_picture)

    def latest(self, camera: str) -> Frame | None:
        """The latest answered frame of a camera whose pictures are kept."""
        return self._pictures.get(camera)

    def _keeps_picture(self, camera: str, frame: Frame | None = None) -> bool:
        """Whether this camera's picture is kept: only while it is connected. One that came by HTTP always may be."""
        frame = frame or self._pictures.get(camera)
        if self.is_watched(camera):
            return camera in self._of_camera or (frame is not None and frame.sender.startswith(HTTP_PREFIX))
        return self._keep_pictures and camera in self._of_camera

    def publish(self, frame: Frame, outcome: Outcome) -> None:
        """Send the outcome of a frame to its sender, and results to the subscribers of its camera."""
        if is_own_camera(frame.camera):
            return  # it has no client
        if not isinstance(outcome, Detected):
            self.refuse(frame.sender, frame.frame_id, outcome, frame.received_s, frame.captured_at)
            return
        event, payload = payloads.of_outcome(frame, outcome)
        self.post(frame.sender, event, payload)
        if self._keeps_picture(frame.camera, frame):
            self._pictures.put(frame.camera, frame)
        self._to_subscribers(frame, event, payload)
        if self.elsewhere is not None:
            with optional("the other devices of the site", frame.camera):
                self.elsewhere(frame.camera, payload)

    def refuse(
        self,
        sid: str,
        frame_id: FrameId | None,
        outcome: Failed | Skipped,
        at_s: float,
        captured_at: float | None = None,
    ) -> None:
        """Send the sender of a frame that has no result the reason, or what is predicted instead."""
        client = self._clients.get(sid)
        if client is not None and client.predicts and isinstance(outcome, Skipped) and frame_id is not None:
            answer = self._predict(client.camera, at_s)
            if answer is not None:
                predicted = payloads.of_predicted(client.camera, frame_id, captured_at, answer, outcome)
                self.post(sid, "detection_results", predicted)
                return
        self.post(sid, *payloads.of_refusal(frame_id, outcome))

    def is_watched(self, camera: str) -> bool:
        """Whether a client is subscribed to this camera."""
        return self._subscriptions.is_followed(camera)

    def show(self, frame: Frame, reason: str) -> None:
        """Give the subscribers of a camera a picture that was not processed. `reason`: why not."""
        if self._keeps_picture(frame.camera, frame):
            self._pictures.put(frame.camera, frame)
            self._to_subscribers(frame, "picture", payloads.of_picture(frame, reason))

    def _to_subscribers(self, frame: Frame, event: str, payload: AnyPayload) -> None:
        for sid in self._subscriptions.followers(frame.camera):
            if sid != frame.sender:
                self.post(sid, event, payload)

    def subscribed(self) -> frozenset[str]:
        """The cameras whose results are wanted also if another device has them; EVERY: all."""
        return self._subscriptions.of_site()

    def deliver(self, camera: str, payload: AnyPayload) -> None:
        """Send a result of another device to the subscribers of its camera."""
        for sid in self._subscriptions.followers_elsewhere(camera):
            self.post(sid, "detection_results", payload)

    def announce(self, camera: str, limits: CameraLimits) -> None:
        """Send new limits to every client of this camera."""
        for sid in self._of_camera.get(camera, ()):
            client = self._clients.get(sid)
            if client is not None:
                client.limits = payloads.of_limits(limits)
                self._pending.add(sid)
        self._posted.set()

    def post_event(self, event: ObjectEvent) -> None:
        """Send an event to the subscribers of its camera."""
        for sid in self._subscriptions.followers(event.camera):
            self._put_event(sid, event)

    def catch_up(self, sid: str, recall: Recall) -> None:
        """Send a new subscriber the events that it starts with."""
        client = self._clients.get(sid)
        if client is None:
            return
        client.events.know(recall.known)
        for event in recall.events:
            self._put_event(sid, event)

    def _put_event(self, sid: str, event: ObjectEvent) -> None:
        events = self._clients[sid].events
        dropped = events.dropped
        events.put(event)
        self.dropped += events.dropped - dropped
        self._pending.add(sid)
        self._posted.set()

    def post(self, sid: str, event: str, payload: AnyPayload) -> None:
        """Put an event into a client's outbox. Does nothing if the client is not connected."""
        client = self._clients.get(sid)
        if client is None:
            return
        queue = client.skips if event == "frame_skipped" or "predicted" in payload else client.outbox
        if len(queue) == IN_OUTBOX:
            self.dropped += 1
        queue.append((event, payload))
        self._pending.add(sid)
        self._posted.set()

    async def wait_until_read(self, sid: str) -> None:
        """Wait while a client has too many unread packets. Returns at once if it reads, or has disconnected."""
        while sid in self._clients and self._backlog(sid) >= _MAX_UNREAD:  # noqa: ASYNC110  # the transport has no signal
            await asyncio.sleep(_RETRY_S)

    async def run(self) -> None:
        """Send posted events, until cancelled."""
        while True:
            await self._posted.wait()
            self._posted.clear()
            for sid in list(self._pending):
                await self._deliver_or_drop(sid)
            if self._pending:  # these clients read slowly: try again after a pause, or with the next event
                with anyio.move_on_after(_RETRY_S):
                    await self._posted.wait()
                self._posted.set()

    async def drain(self, within_s: float) -> None:
        """Wait until all posted events have been written, at most this long."""
        with anyio.move_on_after(within_s):
            while self._pending or any(self._backlog(sid) for sid in list(self._clients)):  # noqa: ASYNC110  # as above
                await asyncio.sleep(_RETRY_S)

    async def _deliver_or_drop(self, sid: str) -> None:
        try:
            await self._deliver(sid)
        except Exception:
            client = self._clients.get(sid)
            camera = client.camera if client is not None else "-"
            log.exception(
                "could not send to a client of camera %s; dropped its queued events", camera,
                extra={"kind": "delivery", "camera": camera},
            )  # fmt: skip
            self._pending.discard(sid)
            if client is not None:
                self.dropped += len(client.outbox) + len(client.skips) + len(client.events)
                client.outbox.clear()
                client.skips.clear()
                client.events.clear()
                client.limits = None

    async def _deliver(self, sid: str) -> None:
        while (client := self._clients.get(sid)) is not None:
            if self._backlog(sid) >= _IN_TRANSPORT:
                return
            next_ = take_next(client)
            if next_ is None:
                break
            await self._emit(*next_, sid)
        self._pending.discard(sid)
