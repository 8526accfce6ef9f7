"""Parse a multipart form (RFC 7578), including the variants that small cameras and NVRs send.

aiohttp's own reader refuses lines that end in LF only, and reads any number of parts. This parser works on a complete
body of limited size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from appliance.errors import BadFrame

MAX_PARTS = 20
OVERHEAD_BYTES = 64_000
"""Boundaries, part headers and small fields, in addition to the picture."""
_MAX_BOUNDARY_LENGTH = 70  # RFC 2046
_MAX_HEADERS_LENGTH = 8_000
_END_OF_HEADERS = re.compile(rb"\r?\n\r?\n")
_BOUNDARY = re.compile(r';\s*boundary\s*=\s*(?:"([^"]*)"|([^\s;",]+))', re.IGNORECASE)
_HEADER = re.IGNORECASE | re.MULTILINE
_NAME = re.compile(rb'^content-disposition:[^\r\n]*?;[ \t]*name[ \t]*=[ \t]*(?:"([^"\r\n]*)"|([^\s;"]+))', _HEADER)
_NESTED = re.compile(rb"^content-type:[ \t]*multipart/", _HEADER)
_ENCODING = re.compile(rb"^content-transfer-encoding:[ \t]*([^\s;]*)", _HEADER)
_PLAIN = (b"", b"7bit", b"8bit", b"binary")


def read_form(body: bytes, content_type: str) -> dict[str, bytes]:
    """The fields by name; the last value of a repeated name. Raises BadFrame (frame_type)."""
    fields: dict[str, bytes] = {}
    for start, stop in _parts(body, _boundary(content_type)):
        end = _END_OF_HEADERS.search(body, start, min(stop, start + _MAX_HEADERS_LENGTH))
        if end is None:
            raise BadFrame("malformed form: no empty line after the headers of a part", "frame_type")
        fields[_name(body[start : end.start()])] = body[end.end() : stop]
    return fields


def _boundary(content_type: str) -> bytes:
    match = _BOUNDARY.search(content_type)
    boundary = (match[1] or match[2] or "") if match is not None else ""
    if not 0 < len(boundary) <= _MAX_BOUNDARY_LENGTH or not boundary.isascii():
        raise BadFrame("malformed form: Content-Type needs a boundary of 1 to 70 ASCII characters", "frame_type")
    return boundary.encode()


def _parts(body: bytes, boundary: bytes) -> Iterator[tuple[int, int]]:
    """The start and end of each part. The last boundary line may be missing: decoding reports a truncated picture."""
    line = rb"--" + re.escape(boundary) + rb"(--)?[ \t]*(?:\r?\n|\Z)"
    next_line = re.compile(rb"\n" + line)
    match = re.compile(line).match(body) or next_line.search(body)
    if match is None:
        raise BadFrame("malformed form: the boundary named in Content-Type does not occur in the body", "frame_type")
    parts = 0
    while match is not None and not match.group(1):
        parts += 1
        if parts > MAX_PARTS:
            raise BadFrame(f"too many form parts: at most {MAX_PARTS}; send only picture and options", "frame_type")
        start = match.end()
        match = next_line.search(body, start - 1)  # the line break before a boundary belongs to the boundary
        stop = len(body) if match is None else match.start()
        yield start, max(start, stop - (body[stop - 1 : stop] == b"\r" and match is not None))


def _name(headers: bytes) -> str:
    if _NESTED.search(headers):
        raise BadFrame("nested multipart fields are not supported", "frame_type")
    encoding = _ENCODING.search(headers)
    if encoding is not None and encoding[1].lower() not in _PLAIN:
        raise BadFrame("Content-Transfer-Encoding is not supported; send the raw bytes of the field", "frame_type")
    match = _NAME.search(headers)
    name = (match[1] or match[2] or b"") if match is not None else b""
    if not name:
        raise BadFrame("malformed form: each part needs a name in its Content-Disposition", "frame_type")
    return name.decode("utf-8", "replace")
