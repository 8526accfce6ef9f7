"""Handlers of Socket.IO events: connect, disconnect, frames and subscriptions.

Rules of this file:
- A handler queues its frame and returns. The handlers of one client run one after another (`SequentialDispatcher`), so
  TCP holds back a burst, and tasks do not pile up.
- Only the library calls `connect` and `disconnect`, once per connection; a client cannot call them by sending events of
  these names (`packets.Packet`).
- A failing handler is logged and answered with `internal_error`. It never affects other clients.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from appliance import __version__, camera_names
from appliance.errors import BadFrame, Refused, did_you_mean
from appliance.events.feed import EventFeed
from appliance.flow.cameras import CameraBook
from appliance.flow.detector import Detector
from appliance.flow.pace import Pace
from appliance.identity.roles import AccessDenied, May
from appliance.models.names import shown
from appliance.values import CameraLimits, Failed, Frame, Receipt, Skipped
from appliance.web import payloads
from appliance.web.arrivals import TRY_AGAIN_S, Arrival, Arrivals, default_name
from appliance.web.authenticator import text_of
from appliance.web.connections import Connections
from appliance.web.frame_parser import FrameParser, captured_at_of, frame_id_of
from appliance.web.ingress.handler import GuardedHandler
from appliance.web.packets import EVENTS, UNKNOWN, SequentialDispatcher
from appliance.web.payload_types import ConnectedPayload, SubscribeReceiptPayload
from appliance.web.payloads import AnyPayload
from appliance.web.publisher import Publisher
from appliance.web.refusals import RefusalThrottle, refusal
from appliance.web.socket_server import SocketOptions
from appliance.web.subscriptions import EVERY, MAX_SUBSCRIPTIONS, MAX_SUBSCRIPTIONS_IN_TOTAL

log = logging.getLogger(__name__)

_INTERNAL = Failed(
    "internal_error", "internal error while processing this frame; see the device's log. Send the next frame"
)
_VIEW_ONLY = Failed(
    Refused.code, "this connection may only view; to send frames, connect with `name` and `token` in auth"
)
_TOO_MANY_SUBSCRIPTIONS = (
    f"at most {MAX_SUBSCRIPTIONS} cameras per client, and {MAX_SUBSCRIPTIONS_IN_TOTAL} for all clients together; "
    "subscribe to '*'"
)
_BAD_CAMERAS: SubscribeReceiptPayload = {
    "status": "error",
    "reason": 'option_invalid: send {"cameras": ["gate", …]} or {"cameras": "*"}',
}


EventHandler = Callable[..., Awaitable[AnyPayload | None]]


class SocketEvents:
    """The event handlers of the default namespace. Creating it registers them with the server."""

    def __init__(
        self,
        server: Any,
        *,
        options: SocketOptions,
        arrivals: Arrivals,
        parser: FrameParser,
        detector: Detector,
        book: CameraBook,
        pace: Pace,
        publisher: Publisher,
        connections: Connections,
        refusals: RefusalThrottle,
        feed: EventFeed,
    ) -> None:
        self._options, self._arrivals, self._parser = options, arrivals, parser
        self._detector, self._book, self._pace, self._publisher = detector, book, pace, publisher
        self._numbers = itertools.count(1)
        self._refusals, self._feed, self._connections = refusals, feed, connections
        server.on("connect", self.connect)
        server.on("disconnect", self.disconnect)
        for handler in (self.process_frame, self.subscribe, self.unsubscribe):
            server.on(handler.__name__, self._guarded(handler))
        server.on(UNKNOWN, self._guarded(self.unknown))
        self._dispatcher = SequentialDispatcher(server, connections.drop)

    def _guarded(self, handler: EventHandler) -> EventHandler:
        """Wrap a handler: its failure is logged and answered, and the connection stays open."""

        async def run(sid: str, *arguments: Any) -> AnyPayload | None:
            try:
                return await handler(sid, *arguments)
            except Exception:
                log.exception("event handler failed: event=%s", handler.__name__, extra={"kind": "handler"})
                if handler.__name__ != "process_frame":
                    return {"status": "error", "reason": _INTERNAL.code}
                frame_id = frame_id_of(arguments[0] if arguments else None)
                self._publisher.post(sid, *payloads.of_refusal(frame_id, _INTERNAL))
                return {"status": "error", "reason": _INTERNAL.code}

        return run

    async def connect(self, sid: str, environ: Mapping[str, Any], auth: Any = None) -> None:
        request = environ["aiohttp.request"]
        name, address = text_of(auth, "name"), self._arrivals.address_of(request)
        try:
            arrival = self._arrivals.admit(sid, request, auth)
            self._join(sid, arrival, auth if isinstance(auth, Mapping) else {})
            self._refusals.accepted(address, name)
            for former in arrival.replaces:
                why = f"another connection took over the name '{arrival.camera}'"
                await self._connections.end(former, why)
        except AccessDenied as error:
            if isinstance(request.protocol, GuardedHandler):
                request.protocol.refuse()
            refused = refusal(error.code, str(error), error.retry_after_s)
            await self._refusals.delay(address, name, refused)
            raise refused from None
        except Exception:
            log.exception("event handler failed: event=connect", extra={"kind": "handler"})
            self._arrivals.forget(sid)
            self._publisher.leave(sid)
            why = "internal error while connecting; see the device's log"
            raise refusal(_INTERNAL.code, why, TRY_AGAIN_S) from None

    def _join(self, sid: str, arrival: Arrival, auth: Mapping[str, Any]) -> None:
        """Register an admitted client and send it `connected`."""
        camera = arrival.camera
        self._publisher.join(sid, camera, predicts=auth.get("predict") is True)
        # A client without a name may be a viewer; it becomes a camera with its first frame.
        limits = self._pace.join(camera) if arrival.named else self._pace.preview()
        info = self._detector.network.info if self._detector.network else None
        connected: ConnectedPayload = {
            "status": "connected",
            "compression": self._options.compression,
            "camera": camera,
            "limits": payloads.of_limits(limits),
            "model": info.name if info else None,
            "version": __version__,
        }
        if auth.get("classes") is True:
            connected["classes"] = list(info.classes) if info else None
        self._publisher.post(sid, "connected", connected)
        log.info("%s connected", _described(sid, camera), extra={"camera": camera})

    async def disconnect(self, sid: str, reason: str | None = None) -> None:
        self._arrivals.forget(sid)
        camera = self._publisher.leave(sid)
        if camera is not None:
            self._book.leave(camera)
            reason = reason or "no reason given"
            log.info("%s disconnected (%s)", _described(sid, camera), reason, extra={"camera": camera})

    async def process_frame(self, sid: str, payload: Any = None, *more: Any) -> AnyPayload | None:
        await self._publisher.wait_until_read(sid)
        camera = self._publisher.camera_of(sid)
        if camera is None:
            return None
        number = next(self._numbers)
        if not self._arrivals.may(sid, May.SEND):
            return self._refuse(sid, camera, payload, number, _VIEW_ONLY)
        admission = self._detector.admission
        admission.register(camera, unnamed=camera == default_name(sid))

        async def read() -> Frame:
            if more:
                raise BadFrame("process_frame takes one argument; put options next to 'image'", "frame_type")
            return await self._parser.parse(payload, camera=camera, sender=sid, frame_id=number)

        try:
            frame = await admission.receive(camera, read)
        except (BadFrame, Refused) as error:
            fields = {"camera": camera, "frame_id": frame_id_of(payload), "code": error.code, "reason": str(error)}
            log.warning("camera %s sent an invalid frame: %s", camera, error, extra={"kind": "bad_frame", **fields})
            return self._refuse(sid, camera, payload, number, Failed(error.code, str(error)))
        if isinstance(frame, Frame):
            return payloads.of_receipt(await self._detector.take(frame), self._limits(camera))
        await self._show(sid, camera, payload, number)
        return self._refuse(sid, camera, payload, number, frame)

    def is_early(self, sid: str) -> bool:
        """Whether a frame that this client sent now would be too early."""
        camera = self._publisher.camera_of(sid)
        return camera is not None and self._arrivals.may(sid, May.SEND) and self._detector.admission.is_early(camera)

    def refuse_early(self, sid: str, payload: Any) -> bool:
        """Refuse a frame that comes too early as `process_frame` does; False: it is to go there."""
        camera = self._publisher.camera_of(sid)
        refusal = self._detector.admission.refuse_early(camera) if camera is not None else None
        if camera is None or refusal is None:
            return False
        self._refuse(sid, camera, payload, next(self._numbers), refusal)
        return True

    async def _show(self, sid: str, camera: str, payload: Any, number: int) -> None:
        """Pass a refused picture to those who watch, now and then, so that a camera can be aimed meanwhile."""
        if self._publisher.is_watched(camera) and self._pace.may_show(self._book.enter(camera)):
            with contextlib.suppress(BadFrame, Refused):  # it has its refusal already
                frame = await self._parser.parse(payload, camera=camera, sender=sid, frame_id=number)
                self._publisher.show(frame, self._pace.limits.reason)

    def _refuse(self, sid: str, camera: str, payload: Any, number: int, refusal: Failed | Skipped) -> AnyPayload:
        frame_id, at_s = frame_id_of(payload), self._parser.clock()
        frame_id = number if frame_id is None else frame_id
        self._publisher.refuse(sid, frame_id, refusal, at_s, captured_at_of(payload))
        return payloads.of_receipt(Receipt.of(refusal), self._limits(camera))

    async def unknown(self, sid: str, name: str, *_: Any) -> AnyPayload:
        name = name[:64]
        hint = did_you_mean(name, EVENTS) or f"; known events: {', '.join(EVENTS)}"
        return {"status": "error", "reason": f"event_unknown: '{shown(name)}'{hint}"}

    async def subscribe(self, sid: str, payload: Any = None, *more: Any) -> SubscribeReceiptPayload:
        if not self._arrivals.may(sid, May.VIEW):
            return {"status": "error", "reason": "unauthorized"}
        cameras = _cameras(payload) if not more else None
        if cameras is None:
            return _BAD_CAMERAS
        if not self._publisher.subscribe(sid, cameras, of_site=payload.get("site") is not False):
            return {"status": "error", "reason": f"option_invalid: {_TOO_MANY_SUBSCRIPTIONS}"}
        after = payload.get("after") if isinstance(payload, Mapping) else None
        recall = self._feed.recall(lambda camera: EVERY in cameras or camera in cameras, after)
        self._publisher.catch_up(sid, recall)
        receipt: SubscribeReceiptPayload = {"status": "subscribed", "cameras": sorted(cameras)}
        if after is not None:
            receipt["resumed"] = recall.resumed
        return receipt

    async def unsubscribe(self, sid: str, payload: Any = None, *more: Any) -> SubscribeReceiptPayload:
        if not self._arrivals.may(sid, May.VIEW):
            return {"status": "error", "reason": "unauthorized"}
        cameras = _cameras(payload) if not more else None
        if cameras is None:
            return _BAD_CAMERAS
        self._publisher.unsubscribe(sid, cameras)
        return {"status": "unsubscribed", "cameras": sorted(cameras)}

    def _limits(self, camera: str) -> CameraLimits:
        entry = self._book.get(camera)
        return entry.announced if entry is not None and entry.announced is not None else self._pace.preview()


def _described(sid: str, camera: str) -> str:
    """`camera gate`; a client without a name is usually a viewer."""
    return "unnamed client" if camera == default_name(sid) else f"camera {camera}"


def _cameras(payload: Any) -> set[str] | None:
    cameras = payload.get("cameras") if isinstance(payload, Mapping) else None
    if cameras == EVERY:
        return {EVERY}
    if not isinstance(cameras, list) or len(cameras) > MAX_SUBSCRIPTIONS:
        return None
    names = {camera_names.looked_up(name) for name in cameras}
    return None if None in names else {name for name in names if name is not None}
