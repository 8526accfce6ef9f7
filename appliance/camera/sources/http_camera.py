"""A network camera over HTTP: a stream of JPEGs in any container, or the URL of a snapshot.

Rules of this file:
- Pictures are found by their JPEG markers (jpeg_splitter.py), so part headers and boundaries do not matter.
- A response that ends after one picture is a snapshot: each requested picture is a new HTTP request.
- FFmpeg reads other streams (HLS, FLV, MPEG-TS).
- An error says what to change. User and password are sent only to the host in the URL.
"""

from __future__ import annotations

import http.client
import os
import ssl
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

from appliance.camera.sources import pyav
from appliance.camera.sources.http_auth import Login
from appliance.camera.sources.jpeg_splitter import MAX_BYTES, JpegSplitter
from appliance.camera.sources.pyav import ReceivedFrame
from appliance.camera.sources.source import Stream, WaitUntilRequested
from appliance.camera.sources.url import CameraUrl
from appliance.errors import SourceError
from appliance.ports import Clock

_ANSWERS_WITHIN_S = 10.0
_SILENT_S = 15.0
"""A camera counts as dead without a complete picture for this long."""
_BETWEEN_SNAPSHOTS_S = 0.1
"""Minimum interval between snapshots: each is a new connection."""
_MAX_REDIRECTS = 5
_CHUNK = 65536
_REDIRECTS = (301, 302, 303, 307, 308)
_OTHER_PICTURES = (b"\x89PNG", b"RIFF")
_NETWORK_ERRORS = (OSError, http.client.HTTPException, ValueError)
_WHAT_TO_DO = {
    403: "access denied. Check the permissions of this user on the camera.",
    404: "the camera has no such URL. Its manual lists the URLs of the stream and the snapshot.",
    503: "the camera is busy. It may have too many viewers.",
}


class HttpCamera:
    """A camera at an http:// or https:// URL. Certificates are not verified: cameras use self-signed ones."""

    def __init__(self, url: CameraUrl, clock: Clock = time.monotonic) -> None:
        self._url, self._clock = url, clock
        self._login = Login(url.user, url.password)

    def open(self) -> Stream:
        """Open the stream. Raises SourceError: source_unreadable, source_unauthorized."""
        response, first = self.request()
        if _is_video(response, first):
            response.close()
            return pyav.network(self._url.encoded).open()
        return _HttpStream(self, response, first, self._clock)

    def request(self) -> tuple[http.client.HTTPResponse, bytes]:
        """Send one request; return the response and the beginning of its body. Raises SourceError."""
        try:
            response = self._follow()
            first = response.read1(_CHUNK)
        except _NETWORK_ERRORS as error:
            raise self.failed(_reason(error)) from None
        if _is_text(response, first):
            kind = _type(response) or "text"
            response.close()
            raise self.failed(
                f"the camera sends {kind} instead of pictures. Use the URL of its stream or snapshot, not its web page."
            )
        return response, first

    def failed(self, why: str, code: str = "source_unreadable") -> SourceError:
        return SourceError(f"{self._url.shown}: cannot open: {self._url.hide(why)}", code)

    def _follow(self) -> http.client.HTTPResponse:
        scheme, host, path = self._url.scheme, self._url.host, self._url.path
        authenticated = False
        for _ in range(_MAX_REDIRECTS + 2):
            response = self._ask(scheme, host, path)
            if response.status < 300:
                return response
            response.close()
            if response.status in _REDIRECTS and (target := response.headers.get("Location")):
                there = urllib.parse.urlsplit(urllib.parse.urljoin(f"{scheme}://{host}{path or '/'}", target))
                scheme, host = there.scheme, there.netloc.rpartition("@")[2]
                path = urllib.parse.urlunsplit(("", "", there.path, there.query, ""))
                if scheme not in ("http", "https"):
                    raise self.failed(f"the camera redirects to {scheme}://{host}, which is not an HTTP URL")
            elif response.status == 401 and not authenticated and self._learn(response, scheme, host):
                authenticated = True
            else:
                raise self._refusal(response)
        raise self.failed("too many redirects")

    def _learn(self, response: http.client.HTTPResponse, scheme: str, host: str) -> bool:
        return self._is_own(scheme, host) and self._login.learn(response.headers.get_all("WWW-Authenticate") or [])

    def _is_own(self, scheme: str, host: str) -> bool:
        """Whether this host may get the password: only the host in the URL, and not over HTTP if the URL is HTTPS."""
        own = _name(host) == _name(self._url.host)
        return own and (scheme == "https" or self._url.scheme == "http")

    def _ask(self, scheme: str, host: str, path: str) -> http.client.HTTPResponse:
        if scheme == "https":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            secure = http.client.HTTPSConnection(host, timeout=_ANSWERS_WITHIN_S, context=context)
            connection: http.client.HTTPConnection = secure
        else:
            connection = http.client.HTTPConnection(host, timeout=_ANSWERS_WITHIN_S)
        path = urllib.parse.quote(path.partition("#")[0] or "/", safe="/?&=%:;,+@!$'()*~[]|")
        path = path if path.startswith("/") else "/" + path
        headers = {"Accept": "*/*", "Connection": "close", "User-Agent": "appliance-camera"}
        login = self._login.header("GET", path) if self._is_own(scheme, host) else None
        if login is not None:
            headers["Authorization"] = login
        try:
            connection.request("GET", path, headers=headers)
            raw: Any = connection.sock  # the response owns the socket but does not expose it
            response = connection.getresponse()
            raw.settimeout(_SILENT_S)
            return response
        except BaseException:
            connection.close()
            raise

    def _refusal(self, response: http.client.HTTPResponse) -> SourceError:
        status = response.status
        if status == 401 and not (self._url.user or self._url.password):
            return self.failed(
                f"the camera requires a user and password. Write {self._url.scheme}://user:password@…",
                "source_unauthorized",
            )
        if status == 401:
            self._login.learn([])
            return self.failed("wrong user or password (HTTP status 401)", "source_unauthorized")
        advice = _WHAT_TO_DO.get(status, "the camera reports an error. Check its web page.")
        code = "source_unauthorized" if status == 403 else "source_unreadable"
        return self.failed(f"HTTP status {status}: {advice}", code)


class _HttpStream:
    """The pictures of a response, or of repeated snapshot requests."""

    def __init__(self, camera: HttpCamera, response: http.client.HTTPResponse, first: bytes, clock: Clock) -> None:
        self._camera, self._response, self._first, self._clock = camera, response, first, clock
        self._requested_s = clock()

    def frames(self, wait_until_requested: WaitUntilRequested) -> Iterator[ReceivedFrame]:
        """Yield the pictures until the stream ends. Raises SourceError if it breaks off."""
        while True:
            count = 0
            for picture in self._read():
                count += 1
                yield ReceivedFrame(picture, None)
            if count == 0:
                raise self._camera.failed("the camera sends no pictures. Check that this is the URL of its stream.")
            if count > 1:
                return
            self.close()
            time.sleep(max(0.0, self._requested_s + _BETWEEN_SNAPSHOTS_S - self._clock()))
            if not wait_until_requested():
                return
            self._requested_s = self._clock()
            self._response, self._first = self._camera.request()

    def close(self) -> None:
        self._response.close()

    def _read(self) -> Iterator[bytes]:
        if self._first.startswith(_OTHER_PICTURES):
            yield self._whole()
            return
        jpegs, since_s = JpegSplitter(), self._clock()
        data = self._first
        while data:
            for picture in jpegs.feed(data):
                since_s = self._clock()
                yield picture
                since_s = max(since_s, self._clock())
            if self._clock() - since_s > _SILENT_S:
                raise self._camera.failed(f"no complete picture for {_SILENT_S:.0f} s")
            data = self._more()
        rest = jpegs.rest()
        if rest is not None:
            yield rest

    def _whole(self) -> bytes:
        data = bytearray(self._first)
        until_s = self._clock() + _SILENT_S
        while more := self._more():
            data += more
            if len(data) > MAX_BYTES or self._clock() > until_s:
                raise self._camera.failed(
                    f"the picture exceeds {MAX_BYTES} bytes or takes longer than {_SILENT_S:.0f} s"
                )
        return bytes(data)

    def _more(self) -> bytes:
        try:
            return self._response.read1(_CHUNK)
        except _NETWORK_ERRORS as error:
            raise self._camera.failed(_reason(error)) from None


def _name(host: str) -> str | None:
    return urllib.parse.urlsplit(f"//{host}").hostname


def _type(response: http.client.HTTPResponse) -> str:
    return (response.headers.get("Content-Type") or "").partition(";")[0].strip().lower()


def _is_text(response: http.client.HTTPResponse, first: bytes) -> bool:
    """Whether the response is a web page or error text. A playlist is text, but a video."""
    kind = _type(response)
    wordy = kind.startswith("text/") or kind in ("application/json", "application/xml", "application/xhtml+xml")
    return wordy and not first.startswith((b"#EXTM3U", b"\xff\xd8\xff"))


def _is_video(response: http.client.HTTPResponse, first: bytes) -> bool:
    kind = _type(response)
    if kind.startswith(("multipart/", "image/")) or first.startswith((b"\xff\xd8\xff", *_OTHER_PICTURES)):
        return False
    return b"--" not in first[:200] or kind.startswith(("video/", "audio/"))


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {_ANSWERS_WITHIN_S:.0f} s. Check that the camera is on and in this network."
    if isinstance(error, (http.client.InvalidURL, UnicodeError)):
        return "invalid URL. Write http://user:password@camera:port/path"
    if isinstance(error, http.client.IncompleteRead):
        return "the camera closed the connection in the middle of its response"
    if isinstance(error, http.client.HTTPException):
        return f"the server does not speak HTTP ({type(error).__name__})"
    if isinstance(error, OSError):
        words = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
        return f"{words}. Check the URL, and that the camera is on."
    return f"invalid URL: {error}"
