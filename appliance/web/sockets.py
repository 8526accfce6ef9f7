"""Socket.IO: cameras come, push frames, ask for others' results, and go.

A handler offers and returns. Handlers of one client run one after another in its own receive loop, so a burst is held
back by TCP and not by a heap of tasks.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import anyio
import engineio.json
import msgspec
import socketio

from appliance import __version__
from appliance.errors import BadFrame, Refused
from appliance.flow.cameras import CameraBook
from appliance.flow.detector import Detector
from appliance.flow.pace import Pace
from appliance.values import CameraLimits, Failed, Receipt, Skipped
from appliance.web import payloads
from appliance.web.access import Access, same
from appliance.web.intake import Intake, frame_id_of, is_camera_name
from appliance.web.payloads import Payload
from appliance.web.publisher import EVERY, MOST_WATCHED, Publisher

log = logging.getLogger(__name__)

_TRANSPORT_FACTOR = 3
"""The transport takes messages this much larger than the largest frame, so that one that is too large (base64 adds a
third) is answered with an error instead of a closed connection. Beyond it the transport closes: it must not buffer."""

_ONLY_WATCHES = Failed(Refused.code, "this connection may only watch; give `name` and `token` in auth to send frames")
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


class _Json:
    """The transport's JSON, read by msgspec: a base64 frame of some megabytes does not hold up the event loop.

    What is not quite JSON (NaN, half a surrogate pair) is left to the transport's own, so that it gets a clear answer.
    """

    @staticmethod
    def loads(text: str, **options: Any) -> Any:
        try:
            return msgspec.json.decode(text)
        except (ValueError, RecursionError):
            return engineio.json.loads(text, **options)

    dumps = staticmethod(engineio.json.dumps)


def make_server(options: SocketOptions) -> Any:
    """The Socket.IO server, with nothing bound to it."""
    return socketio.AsyncServer(
        async_mode="aiohttp",
        async_handlers=False,
        json=_Json,
        cors_allowed_origins="*",  # of those that `origins` has let in
        cors_credentials=False,  # tokens travel in `auth`, never in cookies
        ping_interval=options.ping_interval_s,
        ping_timeout=options.ping_timeout_s,
        max_http_buffer_size=options.max_frame_bytes * _TRANSPORT_FACTOR,
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


async def close_all(server: Any, within_s: float) -> None:
    """Say goodbye to every client, and wait no longer for those that do not read it."""
    with anyio.move_on_after(within_s):
        if server.eio.sockets:
            await server.eio.disconnect()
        await server.shutdown()


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
    ) -> None:
        self._options, self._access, self._intake = options, access, intake
        self._detector, self._book, self._pace, self._publisher = detector, book, pace, publisher
        self._may_watch: set[str] = set()
        self._numbers = itertools.count(1)
        for handler in (self.connect, self.disconnect, self.process_frame, self.subscribe, self.unsubscribe):
            server.on(handler.__name__, handler)

    async def connect(self, sid: str, environ: Mapping[str, Any], auth: Any = None) -> None:
        auth = auth if isinstance(auth, Mapping) else {}
        name, token = auth.get("name"), auth.get("token")
        camera = self._admit(sid, name, token if isinstance(token, str) else "")
        viewer = self._access.viewer_token
        if not viewer or (isinstance(token, str) and same(token, viewer)):
            self._may_watch.add(sid)
        self._publisher.join(sid, camera)
        # One without a name may only want to watch; it becomes a camera with its first frame.
        limits = self._pace.preview() if name is None else self._pace.join(camera)
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
        if len(self._publisher) >= self._access.max_connections:
            raise socketio.exceptions.ConnectionRefusedError("too many connections (server.max_connections)")
        if name is None:
            viewer = self._access.viewer_token
            if self._access.require_token and not (viewer and same(token, viewer)):
                raise socketio.exceptions.ConnectionRefusedError("unauthorized: give `name` and `token` in auth")
            return _nameless(sid)
        if not is_camera_name(name):
            raise socketio.exceptions.ConnectionRefusedError(
                "the camera's name must be letters, digits and _.:- (64 at most), and not begin with http-"
            )
        policy = self._book.policies.get(name)
        expected = policy.token if policy else ""
        if (self._access.require_token and not expected) or (expected and not same(token, expected)):
            told = {"kind": "refused", "camera": name, "code": "unauthorized"}
            log.warning("camera %s refused: wrong token", name, extra=told)
            raise socketio.exceptions.ConnectionRefusedError(f"unauthorized: wrong token for camera '{name}'")
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
        if camera == _nameless(sid) and self._access.require_token:
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

    async def subscribe(self, sid: str, payload: Any = None) -> Payload:
        if sid not in self._may_watch:
            return {"status": "error", "reason": "unauthorized"}
        cameras = _cameras(payload)
        if cameras is None:
            return _BAD_CAMERAS
        if not self._publisher.watch(sid, cameras):
            return {"status": "error", "reason": f"option_invalid: at most {MOST_WATCHED} cameras; subscribe to '*'"}
        return {"status": "subscribed", "cameras": sorted(cameras)}

    async def unsubscribe(self, sid: str, payload: Any = None) -> Payload:
        cameras = _cameras(payload)
        if cameras is None:
            return _BAD_CAMERAS
        self._publisher.unwatch(sid, cameras)
        return {"status": "unsubscribed", "cameras": sorted(cameras)}

    def _limits(self, camera: str) -> CameraLimits:
        known = self._book.get(camera)
        return known.told if known is not None and known.told is not None else self._pace.preview()


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
