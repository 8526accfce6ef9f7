"""A server with one URL for each way in which HTTP cameras behave."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import time
from collections.abc import Callable, Iterator

from appliance.values import Size
from appliance.vision import scene
from appliance.vision.decode import encode_jpeg
from tests.local_server import QuietHandler, serving

PICTURES = [encode_jpeg(scene.draw(Size(320, 180), seed=number)[0], 80) for number in range(3)]
USER, PASSWORD = "ädmin", 'p@ss/w:rd#1 "%'
_HOLD_S = 0.02


class Handler(QuietHandler):
    """`shown` counts the requests by path."""

    shown: dict[str, int] = {}  # noqa: RUF012  # one server at a time

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.shown[path] = self.shown.get(path, 0) + 1
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            HABITS.get(path.strip("/"), Handler.missing)(self)

    def missing(self) -> None:
        self.answer("text/html", status=404)

    def answer(self, kind: str, body: bytes = b"", *, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        if kind:
            self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def stream(self, part: Callable[[bytes], bytes], kind: str = "multipart/x-mixed-replace; boundary=frame") -> None:
        self.answer(kind)
        for number in range(3000):
            self.wfile.write(part(PICTURES[number % 3]))
            time.sleep(_HOLD_S)

    def basic(self) -> None:
        expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") == expected:
            self.stream(plain)
        else:
            self.answer("text/html", status=401, WWW_Authenticate='Basic realm="camera"')

    def digest(self) -> None:
        if self.is_digest("SHA-256"):
            self.answer("image/jpeg", PICTURES[0])
        else:
            challenge = 'Digest realm="camera, 1", nonce="n1", qop="auth, auth-int", opaque="o", algorithm=SHA-256'
            self.answer("text/html", status=401, WWW_Authenticate=challenge)

    def old_digest(self) -> None:
        if self.is_digest("MD5"):
            self.stream(plain)
        else:
            self.answer("", status=401, WWW_Authenticate='Digest realm="camera, 1", nonce="n1"')

    def is_digest(self, algorithm: str) -> bool:
        """Whether the response is valid by RFC 7616, section 3.4.1, computed independently of our client."""
        header = self.headers.get("Authorization", "")
        sent = dict(re.findall(r'(\w+)="?([^",]*)', header))
        hashed = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}[algorithm]
        who = hashed(f"{USER}:camera, 1:{PASSWORD}".encode()).hexdigest()
        what = hashed(f"GET:{self.path}".encode()).hexdigest()
        middle = f"n1:{sent.get('nc')}:{sent.get('cnonce')}:auth" if "nc" in sent else "n1"
        return sent.get("response") == hashed(f"{who}:{middle}:{what}".encode()).hexdigest()


def part(head: bytes = b"Content-Type: image/jpeg\r\n", *, tail: bytes = b"", before: bytes = b"--frame\r\n",
         after: bytes = b"\r\n") -> Callable[[bytes], bytes]:  # fmt: skip
    return lambda picture: before + head + b"\r\n" + picture + tail + after


plain = part()
HABITS: dict[str, Callable[[Handler], None]] = {
    "plain": lambda h: h.stream(plain),
    "length": lambda h: h.stream(lambda p: part(b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n" % len(p))(p)),
    "wrong-length": lambda h: h.stream(part(b"Content-Type: image/jpeg\r\nContent-Length: 12\r\n")),
    "boundary-after": lambda h: h.stream(part(before=b"", after=b"\r\n--frame\r\n")),
    "no-boundary": lambda h: h.stream(lambda p: p, "multipart/x-mixed-replace"),
    "image-jpg": lambda h: h.stream(part(b"Content-Type: image/jpg;size=4711\r\n")),
    "no-type": lambda h: h.stream(part(b""), ""),
    "line-feeds": lambda h: h.stream(lambda p: plain(p).replace(b"\r\n", b"\n", 3)),
    "stray-bytes": lambda h: h.stream(part(tail=b"vendor\xff\x01\x02")),
    "no-end-marker": lambda h: h.stream(lambda p: plain(p[:-2])),
    "bare": lambda h: h.stream(lambda p: p, "application/octet-stream"),
    "snapshot": lambda h: h.answer("image/jpeg", PICTURES[h.shown["/snapshot"] % 3]),
    "snapshot-length": lambda h: h.answer("image/jpeg", PICTURES[0], Content_Length=str(len(PICTURES[0]))),
    "redirect": lambda h: h.answer("", status=302, Location="/plain"),
    "circle": lambda h: h.answer("", status=302, Location="/circle"),
    "away": lambda h: h.answer("", status=302, Location="rtsp://127.0.0.1/"),
    "page": lambda h: h.answer("text/html", b"<html>please log in</html>"),
    "forbidden": lambda h: h.answer("", status=403),
    "empty": lambda h: h.answer("image/jpeg"),
    "basic": Handler.basic,
    "digest": Handler.digest,
    "old-digest": Handler.old_digest,
}  # fmt: skip


@contextlib.contextmanager
def cameras() -> Iterator[str]:
    """Run the server; yield `http://127.0.0.1:PORT`."""
    Handler.shown.clear()
    with serving(Handler) as server:
        yield server.url
