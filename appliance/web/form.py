"""A multipart form's body -> its fields: RFC 7578 as small cameras and NVRs write it.

aiohttp's own reader refuses lines that end in LF alone, and reads parts for as long as a client sends them. Here the
body is in memory already, and bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from email.utils import collapse_rfc2231_value

from appliance.errors import BadFrame

MOST_PARTS = 20
OVERHEAD_BYTES = 64_000
"""Boundaries, part headers and small fields, on top of the picture."""
_LONGEST_BOUNDARY = 70  # RFC 2046
_LONGEST_HEADERS = 8_000
_END_OF_HEADERS = re.compile(rb"\r?\n\r?\n")
_PLAIN = ("", "7bit", "8bit", "binary")


def read_form(body: bytes, content_type: str) -> dict[str, bytes]:
    """The fields by name; of a name that comes twice the last value. Raises BadFrame (frame_type)."""
    fields: dict[str, bytes] = {}
    for start, stop in _parts(body, _boundary(content_type)):
        end = _END_OF_HEADERS.search(body, start, min(stop, start + _LONGEST_HEADERS))
        if end is None:
            raise BadFrame("a part of the form has no end of its headers: send an empty line after them", "frame_type")
        headers = BytesParser(policy=compat32).parsebytes(body[start : end.start()], headersonly=True)
        fields[_name(headers)] = body[end.end() : stop]
    return fields


def _boundary(content_type: str) -> bytes:
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_boundary("")
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


def _name(headers: Message) -> str:
    if headers.get_content_maintype() == "multipart":
        raise BadFrame("a field of the form must be no form itself", "frame_type")
    if str(headers.get("Content-Transfer-Encoding", "")).strip().lower() not in _PLAIN:
        raise BadFrame("a field of the form has a Content-Transfer-Encoding; send its bytes as they are", "frame_type")
    name = headers.get_param("name", header="Content-Disposition")
    text = "" if name is None else collapse_rfc2231_value(name)
    if not text:
        raise BadFrame("each field of the form needs a name in its Content-Disposition", "frame_type")
    return text
