"""Why a connection to another system failed: a stable code for programs and translations, and English for people."""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

ENGLISH = {
    "link_connecting": "not connected yet",
    "link_refused": "connection refused: nothing listens at this address and port",
    "link_unreachable": "the network has no way there",
    "link_no_answer": "no answer in time",
    "link_name_unknown": "nobody in the network knows this name",
    "link_closed": "the other side closed the connection",
    "link_certificate": "its certificate is not trusted",
    "link_tls": "no encrypted connection",
    "link_not_allowed": "the service may reach private networks only; allow the address with IPAddressAllow=",
    "link_file": "a certificate or key in the settings is unusable",
    "link_failed": "the connection failed",
    "mqtt_login": "the broker accepts neither this user name nor this password",
    "mqtt_rejected": "the broker refuses the device",
    "mqtt_unsteady": "it ends each connection within a minute; another device may use the same mqtt.device_id",
    "webhook_redirects": "the receiver redirects; set the final address",
    "webhook_status": "the receiver does not accept the event",
}
"""The text of each code. The page has the same in its languages."""
_BY_ERRNO = {
    errno.ECONNREFUSED: "link_refused",
    errno.ENETUNREACH: "link_unreachable",
    errno.EHOSTUNREACH: "link_unreachable",
    errno.ENETDOWN: "link_unreachable",
    errno.EHOSTDOWN: "link_unreachable",
    errno.ETIMEDOUT: "link_no_answer",
    errno.ECONNRESET: "link_closed",
    errno.EPIPE: "link_closed",
    errno.EPERM: "link_not_allowed",
}
_FILE_ERRORS = (errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ENOTDIR)
_NUMBER = re.compile(r"\[Errno (\d+)\]")


@dataclass(frozen=True, slots=True)
class LinkProblem:
    """Why a link does not work. `detail`: what the system or the other side says about it; empty: nothing."""

    code: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{ENGLISH[self.code]} ({self.detail})" if self.detail else ENGLISH[self.code]


def of_error(error: BaseException) -> LinkProblem:
    """The problem behind an exception, or behind one that it wraps."""
    for one in _chain(error):
        if isinstance(one, ssl.SSLCertVerificationError):
            return LinkProblem("link_certificate", one.verify_message)
        if isinstance(one, ssl.SSLError):
            return LinkProblem("link_tls", getattr(one, "reason", None) or "")
        if isinstance(one, socket.gaierror):
            return LinkProblem("link_name_unknown")
        if isinstance(one, (asyncio.TimeoutError, TimeoutError)):
            return LinkProblem("link_no_answer")
        if isinstance(one, OSError) and one.errno in _FILE_ERRORS:
            return LinkProblem("link_file", one.strerror or "")
        number = one.errno if isinstance(one, OSError) and one.errno else _number_in(str(one))
        if number in _BY_ERRNO:
            return LinkProblem(_BY_ERRNO[number])
    return LinkProblem("link_failed", str(error) or type(error).__name__)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and what caused it.

    aiohttp has the cause in an attribute. Its own errors are left out: they are of the types of their causes, without
    what those say.
    """
    one: BaseException | None = error
    seen: list[BaseException] = []
    while one is not None and one not in seen:
        seen.append(one)
        inner = getattr(one, "certificate_error", None) or getattr(one, "os_error", None)
        if isinstance(inner, BaseException):
            one = inner
        else:
            yield one
            one = one.__cause__ or one.__context__


def _number_in(text: str) -> int | None:
    """The first error number in a text: where several addresses were tried, libraries have nothing else."""
    found = _NUMBER.search(text)
    return int(found[1]) if found else None
