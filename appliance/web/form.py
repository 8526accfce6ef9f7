"""A multipart form's body -> its fields: RFC 7578 as small cameras and NVRs write it.

aiohttp's own reader refuses lines that end in LF alone, and reads parts for as long as a client sends them. Here the
body is in memory already, and bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from appliance.errors import BadFrame

MOST_PARTS = 20
OVERHEAD_BYTES = 64_000
"""Boundaries, part headers and small fields, on top of the picture."""
_LONGEST_BOUNDARY = 70  # RFC 2046
_LONGEST_HEADERS = 8_000
_END_OF_HEADERS = re.compile(rb"\r?\n\r?\n")
_BOUNDARY = re.compile(r';\s*boundary\s*=\s*(?:"([^"]*)"|([^\s;",]+))', re.IGNORECASE)
_HEADER = re.IGNORECASE | re.MULTILINE
_NAME = re.compile(rb'^content-disposition:[^\r\n]*?;[ \t]*name[ \t]*=[ \t]*(?:"([^"\r\n]*)"|([^\s;"]+))', _HEADER)
_NESTED = re.compile(rb"^content-type:[ \t]*multipart/", _HEADER)
_ENCODING = re.compile(rb"^content-transfer-encoding:[ \t]*([^\s;]*)", _HEADER)
_PLAIN = (b"", b"7bit", b"8bit", b"binary")


def read_form(body: bytes, content_type: str) -> dict[str, bytes]:
    """The fields by name; of a name that comes twice the last value. Raises BadFrame (frame_type)."""
    fields: dict[str, bytes] = {}
    for start, stop in _parts(body, _boundary(content_type)):
        end = _END_OF_HEADERS.search(body, start, min(stop, start + _LONGEST_HEADERS))
        if end is None:
            raise BadFrame("a part of the form has no end of its headers: send an empty line after them", "frame_type")
        fields[_name(body[start : end.start()])] = body[end.end() : stop]
    return fields


def _boundary(content_type: str) -> bytes:
    found = _BOUNDARY.search(content_type)
    boundary = (found[1] or found[2] or "") if found is not None else ""
    if not 0 < len(boundary) <= _LONGEST_BOUNDARY or not boundary.isascii():
        raise BadFrame("the form's Content-Type needs a boundary of 1 to 70 ASCII characters", "frame_type")
    return boundary.encode()


def _parts(body: bytes, boundary: bytes) -> Iterator[tuple[int, int]]:
    """Where each part begins and ends. The last one may lack its boundary line: a picture that is cut shows later."""
    line = rb"--" + re.escape(boundary) + rb"(--)?[ \t]*(?:\r?\n|\Z)"
    next_line = re.compile(rb"\n" + line)
    found = re.compile(line).match(body) or next_line.search(body)
    if found is None:
        raise BadFrame("the form has no boundary line; does its Content-Type name the right one?", "frame_type")
    parts = 0
    while found is not None and not found.group(1):
        parts += 1
        if parts > MOST_PARTS:
            raise BadFrame(f"the form has more than {MOST_PARTS} parts; send the picture and its options", "frame_type")
        start = found.end()
        found = next_line.search(body, start - 1)  # the line break before a boundary belongs to it
        stop = len(body) if found is None else found.start()
        yield start, max(start, stop - (body[stop - 1 : stop] == b"\r" and found is not None))


def _name(headers: bytes) -> str:
    if _NESTED.search(headers):
        raise BadFrame("a field of the form must be no form itself", "frame_type")
    encoding = _ENCODING.search(headers)
    if encoding is not None and encoding[1].lower() not in _PLAIN:
        raise BadFrame("a field of the form has a Content-Transfer-Encoding; send its bytes as they are", "frame_type")
    found = _NAME.search(headers)
    name = (found[1] or found[2] or b"") if found is not None else b""
    if not name:
        raise BadFrame("each field of the form needs a name in its Content-Disposition", "frame_type")
    return name.decode("utf-8", "replace")
