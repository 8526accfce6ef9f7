"""Socket.IO: cameras come, push frames, ask for others' results, and go.

Rules of this file:
- A handler offers and returns. Handlers of one client run one after another (`packets.Turns`), so a burst is held back
  by TCP and not by a heap of tasks.
- `connect` and `disconnect` are called by the library alone, once a connection each; a client cannot reach them by an
  event of that name (`packets.Packet`).
- A handler that fails is logged and answered with `internal_error`. It is never another client's affair.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import socketio

from appliance import __version__
from appliance.errors import BadFrame, Refused, did_you_mean
from appliance.flow.cameras import CameraBook
from appliance.flow.detector import Detector
from appliance.flow.pace import Pace
from appliance.values import CameraLimits, Failed, Receipt, Skipped
from appliance.web import payloads
from appliance.web.access import Access, same
from appliance.web.connections import Connections
from appliance.web.intake import Intake, frame_id_of, is_camera_name
from appliance.web.packets import EVENTS, UNKNOWN, Json, Turns, packet_class
from appliance.web.payloads import Payload
from appliance.web.publisher import EVERY, MOST_WATCHED, MOST_WATCHED_IN_ALL, Publisher
from appliance.web.refusals import Refusals, refusal

log = logging.getLogger(__name__)

TRANSPORT_FACTOR = 3
"""The transport takes messages this much larger than the largest frame, so that one that is too large (base64 adds a
third) is answered with an error instead of a closed connection. Beyond it the transport closes: it must not buffer."""

_TRY_AGAIN_S = 10.0
"""For a client that finds no room."""
_INTERNAL = Failed("internal_error", "the device failed on this frame; its log has the cause. Send the next one")
_ONLY_WATCHES = Failed(Refused.code, "this connection may only watch; give `name` and `token` in auth to send frames")
_TOO_MANY_WATCHED = (
    f"at most {MOST_WATCHED} cameras, and {MOST_WATCHED_IN_ALL} of all clients together; subscribe to '*'"
)
_BAD_CAMERAS: Payload = {
    "status": "error",
    "reason": 'option_invalid: send {"cameras": ["gate", …]} or {"cameras": "*"}',
}


@dataclass(frozen=True, slots=True)
class SocketOptions:
    """How the transport behaves; see `[server]` in the configuration."""

    ping_interval_s: float
    ping_timeout_s: float
    max_frame_bytes: int
    compression: bool
    compression_min_bytes: int


def make_server(options: SocketOptions) -> Any:
    """The Socket.IO server, with nothing bound to it."""
    return socketio.AsyncServer(
        async_mode="aiohttp",
        async_handlers=False,
        serializer=packet_class(options.max_frame_bytes * TRANSPORT_FACTOR),
        json=Json,
        cors_allowed_origins="*",  # of those that `origins` has let in
        cors_credentials=False,  # tokens travel in `auth`, never in cookies
        ping_interval=options.ping_interval_s,
        ping_timeout=options.ping_timeout_s,
        max_http_buffer_size=options.max_frame_bytes * TRANSPORT_FACTOR,
        http_compression=options.compression,
        compression_threshold=options.compression_min_bytes,
    )


def transport_of(server: Any) -> tuple[Any, Any]:
    """How the publisher reaches clients: (emit, backlog)."""

    async def emit(event: str, payload: Payload, sid: str) -> None:
        await server.emit(event, payload, to=sid)

    def backlog(sid: str) -> int:
        connection = server.eio.sockets.get(server.manager.eio_sid_from_sid(sid, "/"))
        return connection.queue.qsize() if connection is not None else 0

    return emit, backlog


Handle = Callable[..., Awaitable[Payload | None]]


class Sockets:
    """The default namespace's events."""

    def __init__(
        self,
        server: Any,
        *,
        options: SocketOptions,
        access: Access,
        intake: Intake,
        detector: Detector,
        book: CameraBook,
        pace: Pace,
        publisher: Publisher,
        connections: Connections,
        refusals: Refusals,
    ) -> None:
        self._options, self._access, self._intake = options, access, intake
        self._detector, self._book, self._pace, self._publisher = detector, book, pace, publisher
        self._may_watch: set[str] = set()
        self._numbers = itertools.count(1)
        self._refusals = refusals
        server.on("connect", self.connect)
        server.on("disconnect", self.disconnect)
        for handler in (self.process_frame, self.subscribe, self.unsubscribe):
            server.on(handler.__name__, self._guarded(handler))
        server.on(UNKNOWN, self._guarded(self.unknown))
        self._turns = Turns(server, connections.drop)

    def _guarded(self, handler: Handle) -> Handle:
        """A handler whose failure ends neither the connection nor anything else."""

        async def run(sid: str, *arguments: Any) -> Payload | None:
            try:
                return await handler(sid, *arguments)
            except Exception:
                log.exception("a client's event failed: %s", handler.__name__, extra={"kind": "handler"})
                if handler.__name__ != "process_frame":
                    return {"status": "error", "reason": _INTERNAL.code}
                frame_id = frame_id_of(arguments[0] if arguments else None)
                self._publisher.post(sid, *payloads.of_refusal(frame_id, _INTERNAL))
                return {"status": "error", "reason": _INTERNAL.code}

        return run

    async def connect(self, sid: str, environ: Mapping[str, Any], auth: Any = None) -> None:
        auth = auth if isinstance(auth, Mapping) else {}
        name, token = auth.get("name"), auth.get("token")
        token = token if isinstance(token, str) else ""
        address = _address(environ)
        try:
            camera = self._admit(sid, name, token)
            self._join(sid, camera, token, named=name is not None)
            self._refusals.accepted(address, name)
        except socketio.exceptions.ConnectionRefusedError as error:
            await self._refusals.hold(address, name, error)
            raise
        except Exception:
            log.exception("a connection failed", extra={"kind": "handler"})
            self._may_watch.discard(sid)
            self._publisher.leave(sid)
            raise refusal(_INTERNAL.code, "the device failed on this connection", _TRY_AGAIN_S) from None

    def _join(self, sid: str, camera: str, token: str, *, named: bool) -> None:
        """Greet a client that was let in."""
        viewer = self._access.rules.viewer_token
        if not viewer or same(token, viewer):
            self._may_watch.add(sid)
        self._publisher.join(sid, camera)
        # One without a name may only want to watch; it becomes a camera with its first frame.
        limits = self._pace.join(camera) if named else self._pace.preview()
        info = self._detector.network.info if self._detector.network else None
        connected = {
            "status": "connected",
            "compression": self._options.compression,
            "camera": camera,
            "limits": payloads.of_limits(limits),
            "model": info.name if info else None,
            "version": __version__,
        }
        self._publisher.post(sid, "connected", connected)
        log.info("camera %s connected", camera, extra={"camera": camera})

    def _admit(self, sid: str, name: Any, token: str) -> str:
        """The camera's name, or a refused connection with its reason."""
        if len(self._publisher) >= self._access.rules.max_connections:
            raise refusal("too_many_connections", "too many connections (server.max_connections)", _TRY_AGAIN_S)
        if name is None:
            viewer = self._access.rules.viewer_token
            if self._access.rules.require_token and not (viewer and same(token, viewer)):
                raise refusal(Refused.code, "unauthorized: give `name` and `token` in auth")
            return _nameless(sid)
        if not is_camera_name(name):
            raise refusal(
                "name_invalid",
                "the camera's name must be letters, digits and _.:- (64 at most), and not begin with http-",
            )
        policy = self._book.policies.get(name)
        expected = policy.token if policy else ""
        if (self._access.rules.require_token and not expected) or (expected and not same(token, expected)):
            raise refusal(Refused.code, f"unauthorized: wrong token for camera '{name}'")
        return str(name)

    async def disconnect(self, sid: str, reason: str | None = None) -> None:
        self._may_watch.discard(sid)
        camera = self._publisher.leave(sid)
        if camera is not None:
            self._book.leave(camera)
            log.info("camera %s left (%s)", camera, reason or "no reason given", extra={"camera": camera})

    async def process_frame(self, sid: str, payload: Any = None, *more: Any) -> Payload | None:
        await self._publisher.room(sid)
        camera = self._publisher.camera_of(sid)
        if camera is None:
            return None
        number = next(self._numbers)
        if camera == _nameless(sid) and self._access.rules.require_token:
            return self._refuse(sid, camera, payload, number, _ONLY_WATCHES)
        known = self._book.get(camera)
        if known is None or known.told is None:
            self._pace.join(camera)
        refusal = self._detector.admit(camera)
        try:
            if refusal is None:
                if more:
                    raise BadFrame("process_frame takes one argument; put options beside 'image'", "frame_type")
                frame = await self._intake.read(payload, camera=camera, sender=sid, frame_id=number)
                return payloads.of_receipt(await self._detector.take(frame), self._limits(camera))
        except (BadFrame, Refused) as error:
            refusal = Failed(error.code, str(error))
            told = {"camera": camera, "frame_id": frame_id_of(payload), "code": error.code, "reason": str(error)}
            log.warning("a frame of camera %s is no use: %s", camera, error, extra={"kind": "bad_frame", **told})
            self._book.enter(camera).unusable()
        return self._refuse(sid, camera, payload, number, refusal)

    def _refuse(self, sid: str, camera: str, payload: Any, number: int, refusal: Failed | Skipped) -> Payload:
        frame_id = frame_id_of(payload)
        self._publisher.post(sid, *payloads.of_refusal(number if frame_id is None else frame_id, refusal))
        return payloads.of_receipt(Receipt.of(refusal), self._limits(camera))

    async def unknown(self, sid: str, name: str, *_: Any) -> Payload:
        hint = did_you_mean(name[:64], EVENTS) or f"; known: {', '.join(EVENTS)}"
        return {"status": "error", "reason": f"event_unknown: '{name[:64]}'{hint}"}

    async def subscribe(self, sid: str, payload: Any = None, *more: Any) -> Payload:
        if sid not in self._may_watch:
            return {"status": "error", "reason": "unauthorized"}
        cameras = _cameras(payload) if not more else None
        if cameras is None:
            return _BAD_CAMERAS
        if not self._publisher.watch(sid, cameras):
            return {"status": "error", "reason": f"option_invalid: {_TOO_MANY_WATCHED}"}
        return {"status": "subscribed", "cameras": sorted(cameras)}

    async def unsubscribe(self, sid: str, payload: Any = None, *more: Any) -> Payload:
        cameras = _cameras(payload) if not more else None
        if cameras is None:
            return _BAD_CAMERAS
        self._publisher.unwatch(sid, cameras)
        return {"status": "unsubscribed", "cameras": sorted(cameras)}

    def _limits(self, camera: str) -> CameraLimits:
        known = self._book.get(camera)
        return known.told if known is not None and known.told is not None else self._pace.preview()


def _address(environ: Mapping[str, Any]) -> str:
    request = environ.get("aiohttp.request")
    return str(request.remote) if request is not None else "unknown"


def _nameless(sid: str) -> str:
    """The camera's name of a client that gave none; a session id may begin with _, as only our own names may."""
    return sid if is_camera_name(sid) else f"c{sid}"


def _cameras(payload: Any) -> set[str] | None:
    cameras = payload.get("cameras") if isinstance(payload, Mapping) else None
    if cameras == EVERY:
        return {EVERY}
    if isinstance(cameras, list) and len(cameras) <= MOST_WATCHED and all(is_camera_name(name) for name in cameras):
        return set(cameras)
    return None
