"""Requests that are not HTTP, or invalid HTTP, as scanners, other protocols and simple clients send them."""

from __future__ import annotations

_GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
_POST = b"POST /v1/vision/detection HTTP/1.1\r\nHost: a\r\n"
_CHUNKED = _POST + b"Transfer-Encoding: chunked\r\n\r\n"
_SOCKET = b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: a\r\n"

MALFORMED = {
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": _GET + b"Host: b\r\n\r\n",
    "TLS": bytes.fromhex("160301020001000001fc0303") + bytes(500),
    "RTSP": b"OPTIONS rtsp://127.0.0.1/ RTSP/1.0\r\nCSeq: 1\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/9": b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    "zeros": bytes(2000),
    "unknown method": b"BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n",
    "blank in the path": b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "forged log line": b"GET /%0a<2>forged%1b[31m HTTP/1.1\r\nHost: a\x1b[31m\r\nReferer: \x1b[2J\r\n\r\n",
    "null in a header": _GET + b"X: \x00\r\n\r\n",
    "long header": _GET + b"Cookie: " + b"x" * 9000 + b"\r\n\r\n",
    "many headers": _GET + b"X-A: b\r\n" * 5000 + b"\r\n",
    "length that is no number": _POST + b"Content-Length: x\r\n\r\n",
    "length below zero": _POST + b"Content-Length: -1\r\n\r\n",
    "two lengths": _POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunks": _POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "wrong chunk": _CHUNKED + b"zz\r\n",
    "huge chunk": _CHUNKED + b"ffffffffffffffff\r\n",
    "more after the end": _POST + b"Connection: close\r\n\r\n--x\r\n",
    "unfinished gzip": _POST + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8bx",
    "form without boundary": _POST + b"Content-Type: multipart/form-data\r\nContent-Length: 2\r\n\r\n--",
    "form of a strange encoding": _POST + b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 67\r\n\r\n"
    b"--x\r\nContent-Transfer-Encoding: what\r\nContent-Encoding: br\r\n\r\na\r\n",
    "upgrade without a key": _SOCKET + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "transport unknown": b"GET /socket.io/?EIO=4&transport=pigeon HTTP/1.1\r\nHost: a\r\n\r\n",
    "Engine.IO 2": b"GET /socket.io/?EIO=2&transport=polling HTTP/1.1\r\nHost: a\r\n\r\n",
    "JSONP": b"GET /socket.io/?EIO=4&transport=polling&j=alert(1) HTTP/1.1\r\nHost: a\r\n\r\n",
}
