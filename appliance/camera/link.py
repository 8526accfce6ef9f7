"""One connection of a camera to a box, from its greeting to its end.

Rules of this file:
- Silence ends it. The box acknowledges a frame at once and answers it always, so a link without either is dead, long
  before its pings or TCP would say so: nothing is left to wait for what a pulled cable has swallowed.
- It is closed within a second, whatever the transport still wants to send: a new one is made instead of mending it.
- A websocket first. Where something on the way does not let one through (a proxy, a firewall), HTTP polling.
- The limits are those of the newest message that carried any: greeting, `limits`, or acknowledgement.
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

from appliance.redaction import redact
from appliance.values import CameraLimits

REACH_WITHIN_S = 2.0
"""For the box's name and its TCP handshake. The kernel asks after 0, 1, 3 and 7 s, so whoever waits longer for one
attempt notices later that a cable is back."""
CONNECT_WITHIN_S = 5.0
ACKNOWLEDGED_WITHIN_S = 3.0
ANSWERED_WITHIN_S = 10.0
_CLOSE_WITHIN_S = 1.0

FIRST_LIMITS = CameraLimits(0.0, 640, 80, "not told yet")

_ANSWERS = ("detection_results", "detection_error", "frame_skipped")


WEBSOCKET, POLLING = "websocket", "polling"

_FOR_GOOD = ("unauthorized", "name_invalid", "option_invalid", "host_refused", "origin_refused")
"""What is refused for good where no `retry_after` says so."""
_LONGEST_LIMIT_S = 3600.0
_LONGEST_TEXT = 300


class LinkLost(Exception):
    """There is no connection, or no longer; the text says why."""

    retry_after_s = 0.0
    """The device asked not to be asked again for so long."""


class WebSocketBlocked(LinkLost):
    """Something answered, and gave no websocket."""

    certain = True
    """False for what a device that stops or starts does too: 503, or no answer to an accepted connection."""


class Rejected(LinkLost):
    """The device rejects this name, token or address, and will until somebody changes its settings or ours."""


class Link:
    """What `connected` gives: the box at the other end. One frame at a time."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._changed = asyncio.Event()
        self._acknowledged = False
        self._waiting_for: object = None
        self._answer: tuple[str, dict[str, Any]] | None = None
        self.lost: str | None = None
        """Why there is no connection any longer."""
        self.refusal: LinkLost | None = None
        """Why the device did not accept the connection."""
        self.limits = FIRST_LIMITS
        self.greeted = False
        self.camera: object = None
        client.on("connected", self._on_connected)
        client.on("limits", self._obey)
        client.on("connect_error", self._on_refused)
        client.on("disconnect", self._on_disconnect)
        for event in _ANSWERS:
            client.on(event, lambda payload, event=event: self._on_answer(event, payload))

    async def greeting(self) -> None:
        """Wait for the box's limits. Raises LinkLost."""
        await self._until(lambda: self.greeted, CONNECT_WITHIN_S)

    async def ask(self, frame: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Send a frame with its `frame_id`; the event that answers it and its payload. Raises LinkLost."""
        self._acknowledged, self._answer, self._waiting_for = False, None, frame["frame_id"]
        try:
            await self._client.emit("process_frame", dict(frame), callback=self._on_acknowledged)
        except socketio.exceptions.SocketIOError as error:
            raise LinkLost(str(error)) from None
        await self._until(lambda: self._acknowledged or self._answer is not None, ACKNOWLEDGED_WITHIN_S)
        await self._until(lambda: self._answer is not None, ANSWERED_WITHIN_S)
        assert self._answer is not None
        return self._answer

    async def news(self, within_s: float) -> None:
        """Wait for anything from the box, at most this long. Raises LinkLost when the connection ends."""
        self._changed.clear()
        if self.lost is None:
            with anyio.move_on_after(within_s):
                await self._changed.wait()
        if self.lost is not None:
            raise LinkLost(self.lost)

    async def _until(self, holds: Callable[[], bool], within_s: float) -> None:
        with anyio.move_on_after(within_s):
            while not holds():
                await self.news(within_s)
            return
        raise LinkLost(f"the box said nothing for {within_s:.0f} s")

    def _on_connected(self, payload: Any = None) -> None:
        self.greeted = True
        if isinstance(payload, Mapping):
            self.camera = payload.get("camera")
            self._obey(payload.get("limits"))
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
        if isinstance(payload, Mapping):  # else it is not the device that speaks, but the library
            self.refusal = read_refusal(payload)

    def _on_disconnect(self, *_: Any) -> None:
        self.lost = self.lost or "the box closed the connection"
        self._changed.set()

    def _obey(self, told: Any = None) -> None:
        limits = read_limits(told)
        if limits is not None and limits != self.limits:
            self.limits = limits
            self._changed.set()


def read_limits(told: Any) -> CameraLimits | None:
    """Limits as the box sends them; None when they are none."""
    try:
        return CameraLimits(
            min_interval_s=bounded_s(told["min_interval"]),
            max_side=max(16, int(told["max_side"])),
            jpeg_quality=min(100, max(1, int(told["jpeg_quality"]))),
            reason=str(told.get("reason", "")),
        )
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError):
        return None


def bounded_s(told: Any) -> float:
    """Seconds as the device sends them, 0 to an hour; 0 for none. Raises TypeError, ValueError for no number."""
    return min(_LONGEST_LIMIT_S, max(0.0, float(told or 0.0)))


def read_refusal(payload: Mapping[str, Any]) -> LinkLost:
    """A `connect_error`: its `data` holds `code` and `retry_after`, null where the same will never be accepted.

    Over polling it may be the JSON of an HTTP error, with `error`.
    """
    text = str(payload.get("message") or payload.get("error") or "refused without a reason")[:_LONGEST_TEXT]
    data = payload.get("data")
    if isinstance(data, Mapping) and "code" in data:
        if data.get("retry_after") is None:
            return Rejected(text)
        error = LinkLost(text)
        with contextlib.suppress(TypeError, ValueError):
            error.retry_after_s = bounded_s(data["retry_after"])
        return error
    for_good = text.startswith(_FOR_GOOD) or payload.get("code") in _FOR_GOOD
    return Rejected(text) if for_good else LinkLost(text)


def endpoint(url: str) -> tuple[str, str]:
    """Where Socket.IO connects, and its path there: a device behind a proxy may stand under a prefix."""
    prefix = urllib.parse.urlsplit(url).path.strip("/")
    if prefix.endswith("socket.io"):
        return url, prefix
    return url, f"{prefix}/socket.io" if prefix else "socket.io"


@contextlib.asynccontextmanager
async def connected(url: str, auth: Mapping[str, str], transport: str = WEBSOCKET) -> AsyncIterator[Link]:
    """A connection whose greeting has come. Raises LinkLost with what the device or the network said."""
    session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(connect=REACH_WITHIN_S))
    client = socketio.AsyncClient(
        reconnection=False, handle_sigint=False, request_timeout=CONNECT_WITHIN_S, http_session=session
    )
    link = Link(client)
    try:
        try:
            address, path = endpoint(url)
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
"""What the library raises: the last ones where what answers is not a device, but speaks a little like one."""


def _lost(error: BaseException, text: str, transport: str) -> LinkLost:
    """Where there was a TCP connection, it is the websocket that did not come about."""
    causes = list(_causes(error))
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
    """What stopped a connection, in the system's own words: the library says "Connection error" and hides the cause."""
    for cause in _causes(error):
        if isinstance(cause, aiohttp.WSServerHandshakeError):
            return f"something else than a box answers there (HTTP status {cause.status})"
        if isinstance(cause, (TimeoutError, asyncio.TimeoutError)):
            return "no answer"
        if isinstance(cause, OSError) and cause.errno is not None and not isinstance(cause, aiohttp.ClientError):
            return os.strerror(cause.errno) if cause.errno > 0 else str(cause.strerror)
    return str(error)[:_LONGEST_TEXT] or type(error).__name__


async def _close(client: Any) -> None:
    """Say goodbye; and cut the socket, so that no task of the transport waits for a peer that is gone."""
    with anyio.move_on_after(_CLOSE_WITHIN_S):
        await client.disconnect()
    websocket = client.eio.ws
    raw = websocket.get_extra_info("socket") if websocket is not None else None
    if raw is not None:
        with contextlib.suppress(OSError):  # it was closed already
            raw.shutdown(socket.SHUT_RDWR)
