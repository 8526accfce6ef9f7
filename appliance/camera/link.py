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
import os
import socket
import urllib.parse
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import aiohttp
import anyio
import socketio

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

_NAME_INVALID = "name_invalid"
_STRANGERS = (aiohttp.ServerFingerprintMismatch, aiohttp.ClientConnectorCertificateError)
"""The server could not prove that it is the device."""
_PERMANENT = (
    "tls_required",
    "unauthorized",
    _NAME_INVALID,
    "name_mismatch",
    "option_invalid",
    "host_refused",
    "origin_refused",
)
"""Codes of permanent rejections, for answers without `retry_after`."""
_LONGEST_LIMIT_S = 3600.0
_LONGEST_TEXT = 300


class LinkLost(Exception):
    """The connection failed or ended; the text gives the reason."""

    retry_after_s = 0.0
    """Delay before the next attempt that the device requests."""


class WebSocketBlocked(LinkLost):
    """The server answered but did not open a WebSocket."""

    certain = True
    """False if the device may be starting or stopping: HTTP 503, or no answer on an open connection."""


class Rejected(LinkLost):
    """The device rejects this name, token or address until the settings of the device or the camera change."""


class NameRejected(Rejected):
    """The device accepts no camera of this name, whatever its settings: another attempt can never succeed."""


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


def bounded_s(seconds: Any) -> float:
    """Limit a time from the device to 0 to 3600 s; None is 0. Raises TypeError or ValueError if it is not a number."""
    return min(_LONGEST_LIMIT_S, max(0.0, float(seconds or 0.0)))


def read_refusal(payload: Mapping[str, Any]) -> LinkLost:
    """Parse a `connect_error`. Its `data` holds `code` and `retry_after`, which is null for a permanent rejection.

    Over polling it can be the JSON body of an HTTP error, with `error`.
    """
    text = str(payload.get("message") or payload.get("error") or "rejected without a reason")[:_LONGEST_TEXT]
    data = payload.get("data")
    if isinstance(data, Mapping) and "code" in data:
        if data.get("retry_after") is None:
            return NameRejected(text) if data["code"] == _NAME_INVALID else Rejected(text)
        error = LinkLost(text)
        with contextlib.suppress(TypeError, ValueError):
            error.retry_after_s = bounded_s(data["retry_after"])
        return error
    permanent = text.startswith(_PERMANENT) or payload.get("code") in _PERMANENT
    return Rejected(text) if permanent else LinkLost(text)


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
    client = socketio.AsyncClient(
        reconnection=False, handle_sigint=False, request_timeout=CONNECT_WITHIN_S, http_session=session
    )
    link = Link(client)
    try:
        try:
            address, path = endpoint(placed(url, place or {}))
            with anyio.fail_after(CONNECT_WITHIN_S):
                await client.connect(
                    address, auth=dict(auth), transports=[transport], socketio_path=path, wait_timeout=CONNECT_WITHIN_S
                )
        except _FAILURES as error:
            raise link.refusal or _lost(error, f"{redact(url)}: {_why(error)}", transport) from None
        await link.greeting()
        yield link
    finally:
        with anyio.CancelScope(shield=True):
            await _close(client)
            await session.close()


_FAILURES = (socketio.exceptions.SocketIOError, OSError, ValueError, LookupError, TypeError, AttributeError)
"""Exceptions of the library. It raises the last ones when the server is not a device but answers similarly."""


def _lost(error: BaseException, text: str, transport: str) -> LinkLost:
    """Distinguish a blocked WebSocket, with a working TCP connection, from an unreachable device."""
    causes = list(_causes(error))
    if any(isinstance(one, _STRANGERS) for one in causes):
        return Rejected(text)
    unreached = any(isinstance(one, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)) for one in causes)
    late = any(isinstance(one, (TimeoutError, asyncio.TimeoutError)) for one in causes)
    busy = any(isinstance(one, aiohttp.WSServerHandshakeError) and one.status >= 500 for one in causes)
    answered = late or any(isinstance(one, (aiohttp.ClientError, ConnectionError)) for one in causes)
    if transport != WEBSOCKET or unreached or not answered:
        return LinkLost(text)
    blocked = WebSocketBlocked(text)
    blocked.certain = not (late or busy)
    return blocked


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _why(error: BaseException) -> str:
    """The cause of a failed connection. The library only reports "Connection error"."""
    for cause in _causes(error):
        if isinstance(cause, aiohttp.ServerFingerprintMismatch):
            return "another device answers: its key is not the one after #sha256="
        if isinstance(cause, aiohttp.ClientConnectorCertificateError):
            return (
                f"its certificate is not trusted ({_reason(cause)}). Use the URL with #sha256= that "
                "`appliance address` prints on the device, or set camera.ca_file"
            )
        if isinstance(cause, aiohttp.ClientConnectorSSLError):
            return "it does not answer over HTTPS"
        if isinstance(cause, aiohttp.WSServerHandshakeError):
            return f"the server is not a detection device (HTTP status {cause.status})"
        if isinstance(cause, (TimeoutError, asyncio.TimeoutError)):
            return "no answer"
        if isinstance(cause, OSError) and cause.errno is not None and not isinstance(cause, aiohttp.ClientError):
            return os.strerror(cause.errno) if cause.errno > 0 else str(cause.strerror)
    return str(error)[:_LONGEST_TEXT] or type(error).__name__


def _reason(error: aiohttp.ClientConnectorCertificateError) -> str:
    return str(getattr(error.certificate_error, "verify_message", "") or error.certificate_error)


async def _close(client: Any) -> None:
    """Disconnect, and shut down the socket so that no transport task waits for an unreachable peer."""
    with anyio.move_on_after(_CLOSE_WITHIN_S):
        await client.disconnect()
    websocket = client.eio.ws
    raw = websocket.get_extra_info("socket") if websocket is not None else None
    if raw is not None:
        with contextlib.suppress(OSError):  # it was closed already
            raw.shutdown(socket.SHUT_RDWR)
