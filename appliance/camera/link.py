"""One connection from a camera to a device, from the greeting to the end.

Rules of this file:
- Silence ends the connection. A device acknowledges each frame at once and always answers it. Without these the
  connection is dead, and this shows long before a ping or TCP times out.
- Closing takes at most a second, regardless of unsent data. A broken connection is replaced, not repaired.
- WebSocket comes first. If a proxy or firewall blocks it, HTTP polling follows.
- The front of a site places a camera by the name in the query of its URL; `moved` says what else to put there.
- The latest message with limits counts: the greeting, `limits`, or an acknowledgement.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import urllib.parse
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import aiohttp
import anyio
import socketio

from appliance.camera.failures import FAILURES, LinkLost, Rejected, bounded_s, lost, read_refusal, why
from appliance.camera.place import place_of, placed
from appliance.errors import ConfigError
from appliance.redaction import redact
from appliance.tls import pin
from appliance.values import CameraLimits

REACH_WITHIN_S = 2.0
"""Limit for name resolution and the TCP handshake. The kernel sends SYN after 0, 1, 3 and 7 s, so a longer attempt
would take longer to notice that a cable is plugged in again."""
CONNECT_WITHIN_S = 5.0
ACKNOWLEDGED_WITHIN_S = 3.0
ANSWERED_WITHIN_S = 10.0
_CLOSE_WITHIN_S = 1.0

FIRST_LIMITS = CameraLimits(0.0, 640, 80, "not received yet")

_ANSWERS = ("detection_results", "detection_error", "frame_skipped")
WEBSOCKET, POLLING = "websocket", "polling"


class Link:
    """An open connection, as `connected` yields it. One frame at a time."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._changed = asyncio.Event()
        self._acknowledged = False
        self._waiting_for: object = None
        self._answer: tuple[str, dict[str, Any]] | None = None
        self.lost: str | None = None
        """Why the connection ended."""
        self.refusal: LinkLost | None = None
        """Why the device did not accept the connection."""
        self.limits = FIRST_LIMITS
        self.moved: str | None = None
        """What to put into the URL of the next connection: the device asks the camera to go to another one."""
        self.greeted = False
        self.camera: object = None
        self.classes: frozenset[str] | None = None
        """The classes that the device detects; None: it has not said so."""
        client.on("connected", self._on_connected)
        client.on("limits", self._obey)
        client.on("moved", self._on_moved)
        client.on("connect_error", self._on_refused)
        client.on("disconnect", self._on_disconnect)
        for event in _ANSWERS:
            client.on(event, lambda payload, event=event: self._on_answer(event, payload))

    async def greeting(self) -> None:
        """Wait for the device's greeting with its limits. Raises LinkLost."""
        await self._until(lambda: self.greeted, CONNECT_WITHIN_S)

    async def send(self, frame: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Send a frame with a `frame_id`; return the event that answers it and its payload. Raises LinkLost."""
        self._acknowledged, self._answer, self._waiting_for = False, None, frame["frame_id"]
        try:
            await self._client.emit("process_frame", dict(frame), callback=self._on_acknowledged)
        except socketio.exceptions.SocketIOError as error:
            raise LinkLost(str(error)) from None
        await self._until(lambda: self._acknowledged or self._answer is not None, ACKNOWLEDGED_WITHIN_S)
        await self._until(lambda: self._answer is not None, ANSWERED_WITHIN_S)
        assert self._answer is not None
        return self._answer

    async def wait_for_change(self, within_s: float) -> None:
        """Wait for a message from the device, at most this long. Raises LinkLost when the connection ends."""
        self._changed.clear()
        if self.lost is None:
            with anyio.move_on_after(within_s):
                await self._changed.wait()
        if self.lost is not None:
            raise LinkLost(self.lost)

    async def _until(self, holds: Callable[[], bool], within_s: float) -> None:
        with anyio.move_on_after(within_s):
            while not holds():
                await self.wait_for_change(within_s)
            return
        raise LinkLost(f"no message from the device for {within_s:.0f} s")

    def _on_connected(self, payload: Any = None) -> None:
        self.greeted = True
        if isinstance(payload, Mapping):
            self.camera = payload.get("camera")
            classes = payload.get("classes")
            if isinstance(classes, list) and classes and all(isinstance(name, str) for name in classes):
                self.classes = frozenset(classes)
            self._obey(payload.get("limits"))
        self._changed.set()

    def _on_moved(self, payload: Any = None) -> None:
        self.moved = place_of(payload)
        self._changed.set()

    def _on_acknowledged(self, payload: Any = None) -> None:
        self._acknowledged = True
        if isinstance(payload, Mapping):
            self._obey(payload.get("limits"))
        self._changed.set()

    def _on_answer(self, event: str, payload: Any = None) -> None:
        if isinstance(payload, dict) and payload.get("frame_id") == self._waiting_for:
            self._answer = event, payload
            self._changed.set()

    def _on_refused(self, payload: Any = None) -> None:
        if isinstance(payload, Mapping):  # otherwise the error is from the library, not from the device
            self.refusal = read_refusal(payload)

    def _on_disconnect(self, *_: Any) -> None:
        self.lost = self.lost or "the device closed the connection"
        self._changed.set()

    def _obey(self, payload: Any = None) -> None:
        limits = read_limits(payload)
        if limits is not None and limits != self.limits:
            self.limits = limits
            self._changed.set()


def read_limits(payload: Any) -> CameraLimits | None:
    """Parse limits from the device; None if they are invalid."""
    try:
        return CameraLimits(
            min_interval_s=bounded_s(payload["min_interval"]),
            max_side=max(16, int(payload["max_side"])),
            jpeg_quality=min(100, max(1, int(payload["jpeg_quality"]))),
            reason=str(payload.get("reason", "")),
        )
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError):
        return None


def endpoint(url: str) -> tuple[str, str]:
    """The URL and path for Socket.IO. A device behind a reverse proxy can have a path prefix."""
    prefix = urllib.parse.urlsplit(url).path.strip("/")
    if prefix.endswith("socket.io"):
        return url, prefix
    return url, f"{prefix}/socket.io" if prefix else "socket.io"


@contextlib.asynccontextmanager
async def connected(
    url: str,
    auth: Mapping[str, object],
    transport: str = WEBSOCKET,
    *,
    ca_file: str = "",
    place: Mapping[str, str | None] | None = None,
) -> AsyncIterator[Link]:
    """Connect and wait for the greeting. Raises LinkLost with the reason from the device or the network.

    `url` may carry the pin of the device's key (`#sha256=…`). Nothing is sent to a device with another one.
    `place`: fields of the query, by which a front chooses the device.
    """
    try:
        url, key_pin = pin.split_pin(url)
        connector = aiohttp.TCPConnector(ssl=pin.verification(key_pin, ca_file))
    except ConfigError as error:
        raise Rejected(str(error)) from None
    session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(connect=REACH_WITHIN_S))
    quiet = logging.getLogger(f"{__name__}.library")
    quiet.setLevel(logging.ERROR)  # it warns "Server sent 257 packet data None"; the agent reports lost connections
    client = socketio.AsyncClient(
        reconnection=False,
        handle_sigint=False,
        request_timeout=CONNECT_WITHIN_S,
        http_session=session,
        engineio_logger=quiet,
    )
    link = Link(client)
    try:
        try:
            address, path = endpoint(placed(url, place or {}))
            with anyio.fail_after(CONNECT_WITHIN_S):
                await client.connect(
                    address, auth=dict(auth), transports=[transport], socketio_path=path, wait_timeout=CONNECT_WITHIN_S
                )
        except FAILURES as error:
            what = f"{redact(url)}: {why(error)}"
            raise link.refusal or lost(error, what, websocket=transport == WEBSOCKET) from None
        await link.greeting()
        yield link
    finally:
        try:
            with anyio.CancelScope(shield=True):
                await _close(client)
        finally:  # also if the agent is ended meanwhile: this scope does not shield from the cancelling of a task
            await session.close()


async def _close(client: Any) -> None:
    """Disconnect, and shut down the socket so that no transport task waits for an unreachable peer."""
    with anyio.move_on_after(_CLOSE_WITHIN_S):
        await client.disconnect()
    websocket = client.eio.ws
    raw = websocket.get_extra_info("socket") if websocket is not None else None
    if raw is not None:
        with contextlib.suppress(OSError):  # it was closed already
            raw.shutdown(socket.SHUT_RDWR)
