"""A network camera over HTTP: a stream of JPEGs in whatever wrapping, or the address of a single picture.

Rules of this file:
- The pictures are found by their own markers (jpeg_splitter.py), so headers of parts and boundaries do not matter.
- A response that ends after one picture is a snapshot: the address is asked again for each picture that is wanted.
- What is no picture but may be a film (HLS, FLV, MPEG-TS) is left to FFmpeg.
- A refusal names what to change. User and password go to the host that they were written for and nowhere else.
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
from appliance.camera.sources.jpeg_splitter import MOST_BYTES, JpegSplitter
from appliance.camera.sources.pyav import StreamFrame
from appliance.camera.sources.source import Stream, WaitUntilRequested
from appliance.camera.sources.url import CameraUrl
from appliance.errors import SourceError
from appliance.ports import Clock

_ANSWERS_WITHIN_S = 10.0
_SILENT_S = 15.0
"""A camera without a whole picture for so long is taken for dead."""
_BETWEEN_SNAPSHOTS_S = 0.1
"""The fastest pace at which a single picture's address is asked: each picture is a connection of its own."""
_MOST_REDIRECTS = 5
_CHUNK = 65536
_REDIRECTS = (301, 302, 303, 307, 308)
_OTHER_PICTURES = (b"\x89PNG", b"RIFF")
_NETWORK_ERRORS = (OSError, http.client.HTTPException, ValueError)
_WHAT_TO_DO = {
    403: "this user may not view it; check the user's rights on the camera",
    404: "there is no such address on the camera; its manual lists the address of its stream or snapshot",
    503: "the camera is busy, often with too many viewers",
}


class HttpCamera:
    """A camera at an http:// or https:// address. Certificates are not checked: cameras sign theirs themselves."""

    def __init__(self, url: CameraUrl, clock: Clock = time.monotonic) -> None:
        self._url, self._clock = url, clock
        self._login = Login(url.user, url.password)

    def open(self) -> Stream:
        """The camera's pictures. Raises SourceError: source_unreadable, source_unauthorized."""
        response, first = self.request()
        if _is_film(response, first):
            response.close()
            return pyav.network(self._url.encoded).open()
        return _Pictures(self, response, first, self._clock)

    def request(self) -> tuple[http.client.HTTPResponse, bytes]:
        """Ask once: the response and the beginning of its body. Raises SourceError."""
        try:
            response = self._follow()
            first = response.read1(_CHUNK)
        except _NETWORK_ERRORS as error:
            raise self.failed(_reason(error)) from None
        if _is_text(response, first):
            kind = _type(response) or "text"
            response.close()
            raise self.failed(
                f"the camera answers with {kind} instead of pictures; give the address of its stream or snapshot, "
                "not of its web page"
            )
        return response, first

    def failed(self, why: str, code: str = "source_unreadable") -> SourceError:
        return SourceError(f"{self._url.shown}: cannot be opened: {self._url.hide(why)}", code)

    def _follow(self) -> http.client.HTTPResponse:
        scheme, host, path = self._url.scheme, self._url.host, self._url.path
        asked = False
        for _ in range(_MOST_REDIRECTS + 2):
            response = self._ask(scheme, host, path)
            if response.status < 300:
                return response
            response.close()
            if response.status in _REDIRECTS and (target := response.headers.get("Location")):
                there = urllib.parse.urlsplit(urllib.parse.urljoin(f"{scheme}://{host}{path or '/'}", target))
                scheme, host = there.scheme, there.netloc.rpartition("@")[2]
                path = urllib.parse.urlunsplit(("", "", there.path, there.query, ""))
                if scheme not in ("http", "https"):
                    raise self.failed(f"the camera redirects to {scheme}://{host}, which is no web address")
            elif response.status == 401 and not asked and self._learn(response, scheme, host):
                asked = True
            else:
                raise self._refusal(response)
        raise self.failed("the camera redirects in a circle")

    def _learn(self, response: http.client.HTTPResponse, scheme: str, host: str) -> bool:
        return self._is_own(scheme, host) and self._login.learn(response.headers.get_all("WWW-Authenticate") or [])

    def _is_own(self, scheme: str, host: str) -> bool:
        """Whether the password may go there: to the host it was written for, and not in clear where it was not so."""
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
            raw: Any = connection.sock  # the response keeps it, and hides it
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
                f"the camera asks for a user and password: write {self._url.scheme}://user:password@…",
                "source_unauthorized",
            )
        if status == 401:
            self._login.learn([])
            return self.failed("the camera rejects this user and password (HTTP status 401)", "source_unauthorized")
        advice = _WHAT_TO_DO.get(status, "the camera reports a problem of its own; look at its web page")
        code = "source_unauthorized" if status == 403 else "source_unreadable"
        return self.failed(f"HTTP status {status}: {advice}", code)


class _Pictures:
    """What a camera sends, as pieces."""

    def __init__(self, camera: HttpCamera, response: http.client.HTTPResponse, first: bytes, clock: Clock) -> None:
        self._camera, self._response, self._first, self._clock = camera, response, first, clock
        self._asked_s = clock()

    def frames(self, wanted: WaitUntilRequested) -> Iterator[StreamFrame]:
        """All pictures, to the end of the stream. Raises SourceError when it breaks off."""
        while True:
            count = 0
            for picture in self._read():
                count += 1
                yield StreamFrame(picture, None)
            if count == 0:
                raise self._camera.failed("the camera sends no pictures; is this the address of its stream?")
            if count > 1:
                return
            self.close()
            time.sleep(max(0.0, self._asked_s + _BETWEEN_SNAPSHOTS_S - self._clock()))
            if not wanted():
                return
            self._asked_s = self._clock()
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
                raise self._camera.failed(f"no whole picture for {_SILENT_S:.0f} s")
            data = self._more()
        rest = jpegs.rest()
        if rest is not None:
            yield rest

    def _whole(self) -> bytes:
        data = bytearray(self._first)
        until_s = self._clock() + _SILENT_S
        while more := self._more():
            data += more
            if len(data) > MOST_BYTES or self._clock() > until_s:
                raise self._camera.failed(f"a picture of more than {MOST_BYTES} bytes or {_SILENT_S:.0f} s")
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
    """A web page or an error in words; a playlist is text too, and a film."""
    kind = _type(response)
    wordy = kind.startswith("text/") or kind in ("application/json", "application/xml", "application/xhtml+xml")
    return wordy and not first.startswith((b"#EXTM3U", b"\xff\xd8\xff"))


def _is_film(response: http.client.HTTPResponse, first: bytes) -> bool:
    kind = _type(response)
    if kind.startswith(("multipart/", "image/")) or first.startswith((b"\xff\xd8\xff", *_OTHER_PICTURES)):
        return False
    return b"--" not in first[:200] or kind.startswith(("video/", "audio/"))


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {_ANSWERS_WITHIN_S:.0f} s; is the camera on, and in this network?"
    if isinstance(error, (http.client.InvalidURL, UnicodeError)):
        return "the address is invalid: write http://user:password@camera:port/path"
    if isinstance(error, http.client.IncompleteRead):
        return "the camera broke off in the middle of its answer"
    if isinstance(error, http.client.HTTPException):
        return f"what answers there does not speak HTTP ({type(error).__name__})"
    if isinstance(error, OSError):
        words = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
        return f"{words}; check the address, and that the camera is on"
    return f"the address is invalid: {error}"
