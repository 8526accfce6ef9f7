"""Why a connection to a device failed, and whether another attempt can succeed.

The library reports only "Connection error"; the causes are in the chain of exceptions below it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

import aiohttp
import socketio

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
_LONGEST_TEXT = 300
_LONGEST_LIMIT_S = 3600.0


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


FAILURES = (socketio.exceptions.SocketIOError, OSError, ValueError, LookupError, TypeError, AttributeError)
"""Exceptions of the library. It raises the last ones when the server is not a device but answers similarly."""


def lost(error: BaseException, text: str, *, websocket: bool) -> LinkLost:
    """Distinguish a blocked WebSocket, with a working TCP connection, from an unreachable device."""
    causes = list(_causes(error))
    if any(isinstance(one, _STRANGERS) for one in causes):
        return Rejected(text)
    unreached = any(isinstance(one, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)) for one in causes)
    late = any(isinstance(one, (TimeoutError, asyncio.TimeoutError)) for one in causes)
    busy = any(isinstance(one, aiohttp.WSServerHandshakeError) and one.status >= 500 for one in causes)
    answered = late or any(isinstance(one, (aiohttp.ClientError, ConnectionError)) for one in causes)
    if not websocket or unreached or not answered:
        return LinkLost(text)
    blocked = WebSocketBlocked(text)
    blocked.certain = not (late or busy)
    return blocked


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def why(error: BaseException) -> str:
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
