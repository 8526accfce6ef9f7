"""Parse what a client sent into a Frame, or raise a BadFrame that says what to send instead.

Used by Socket.IO and HTTP. `process_frame` accepts base64 text, a data URL, raw bytes, or an object with the picture in
`image` and options in other fields.
"""

from __future__ import annotations

import asyncio
import base64
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from appliance.errors import BadFrame, did_you_mean
from appliance.models.names import shown
from appliance.ports import Clock
from appliance.values import BIG_BYTES, FULL_VIEW, Frame, FrameId, ResultFilter, View
from appliance.vision.decode import read_header

FIELDS = ("image", "frame_id", "captured_at", "min_confidence", "classes")
_DATA_URL = re.compile(r"\s*data:[^,;]*(;[^,;]*)*,", re.IGNORECASE)
_BREAKS = b"\t\r\n\v\f"
_BLANK = b" " + _BREAKS
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_MAX_ID_LENGTH = 128
_ID_NUMBER_LIMIT = 10**_MAX_ID_LENGTH
_MAX_CLASSES = 1000


def frame_id_of(payload: object) -> FrameId | None:
    """The payload's frame id if it has a valid one, so that the error for an invalid frame can include it."""
    if isinstance(payload, Mapping):
        frame_id = payload.get("frame_id")
        if isinstance(frame_id, str):
            return frame_id if len(frame_id) <= _MAX_ID_LENGTH and _is_unicode(frame_id) else None
        if isinstance(frame_id, float):
            return frame_id if math.isfinite(frame_id) else None
        if isinstance(frame_id, int) and not isinstance(frame_id, bool) and abs(frame_id) < _ID_NUMBER_LIMIT:
            return frame_id
    return None


def captured_at_of(payload: object) -> float | None:
    """The payload's time if it has a valid one, for a frame that is not parsed."""
    try:
        return _captured_at(payload.get("captured_at")) if isinstance(payload, Mapping) else None
    except BadFrame:
        return None


@dataclass(frozen=True, slots=True)
class FrameParser:
    """Parses payloads within these limits."""

    max_frame_bytes: int
    max_pixels: int
    min_confidence: float
    """The default for frames that have none."""
    clock: Clock
    view_of: Callable[[str], View] = lambda camera: FULL_VIEW
    """What is reported of a camera's pictures."""

    async def parse(self, payload: object, *, camera: str, sender: str, frame_id: FrameId) -> Frame:
        """Like `parse_now`, but large pictures in a thread: 1 MB takes 5 ms for base64 and 1 ms for the header."""
        image = payload.get("image") if isinstance(payload, Mapping) else payload
        parse = partial(self.parse_now, payload, camera=camera, sender=sender, frame_id=frame_id)
        if isinstance(image, (str, bytes)) and len(image) > BIG_BYTES:
            return await asyncio.get_running_loop().run_in_executor(None, parse)
        return parse()

    def parse_now(self, payload: object, *, camera: str, sender: str, frame_id: FrameId) -> Frame:
        """The frame of a `process_frame` payload. `frame_id`: the id if the payload has none.

        Raises BadFrame with any of its codes.
        """
        received_s = self.clock()
        options: Mapping[str, object] = {}
        if isinstance(payload, Mapping):
            options = payload
            _check_fields(payload)
            payload = payload["image"]
        data = self.picture_bytes(payload)
        wanted = self.result_filter(options.get("min_confidence"), options.get("classes"))
        own_id = options.get("frame_id")
        if own_id is not None:
            valid_id = frame_id_of(options)
            if valid_id is None:
                raise BadFrame(
                    f"frame_id must be a finite number or a Unicode string of at most {_MAX_ID_LENGTH} characters",
                    "option_invalid",
                )
            frame_id = valid_id
        return Frame(
            camera=camera,
            sender=sender,
            frame_id=frame_id,
            picture=read_header(data, self.max_pixels),
            wanted=replace(wanted, view=self.view_of(camera)),
            received_s=received_s,
            captured_at=_captured_at(options.get("captured_at")),
        )

    def picture_bytes(self, image: object) -> bytes:
        """The bytes of the picture, from any accepted form."""
        if isinstance(image, str):
            image = self._from_base64(image)
        elif isinstance(image, (bytearray, memoryview)):
            image = bytes(image)
        if not isinstance(image, bytes):
            raise BadFrame(
                f"a frame must be bytes, base64 text, or an object with 'image'; got {_kind(image)}", "frame_type"
            )
        if not image:
            raise BadFrame("the picture is empty", "frame_empty")
        if len(image) > self.max_frame_bytes:
            raise self._too_large(len(image))
        return image

    def result_filter(self, min_confidence: object, classes: object) -> ResultFilter:
        """Validate the options of one frame."""
        if min_confidence is None:
            min_confidence = self.min_confidence
        elif (
            isinstance(min_confidence, bool)
            or not isinstance(min_confidence, (int, float))
            or not 0 <= min_confidence <= 1
        ):
            raise BadFrame("min_confidence must be a number from 0 to 1", "option_invalid")
        if isinstance(classes, str):
            classes = [classes]
        if classes is None:
            return ResultFilter(float(min_confidence))
        if (
            not isinstance(classes, (list, tuple))
            or len(classes) > _MAX_CLASSES
            or not all(isinstance(name, str) and len(name) <= _MAX_ID_LENGTH and _is_unicode(name) for name in classes)
        ):
            raise BadFrame(f"classes must be a list of at most {_MAX_CLASSES} class names", "option_invalid")
        return ResultFilter(float(min_confidence), frozenset(classes))

    def _from_base64(self, text: str) -> bytes:
        prefix = _DATA_URL.match(text, 0, 200)
        if prefix is not None:
            if ";base64" not in prefix.group().lower().replace(" ", ""):
                raise BadFrame("the data URL must use base64: data:image/jpeg;base64,…", "base64_invalid")
            text = text[prefix.end() :]
        if len(text) * 3 // 4 > self.max_frame_bytes + 2:
            raise self._too_large(len(text) * 3 // 4)
        try:
            return base64.b64decode(text, validate=True)
        except ValueError:
            return _from_loose_base64(text)

    def _too_large(self, size: int) -> BadFrame:
        return BadFrame(
            f"frame too large: {size} bytes, at most {self.max_frame_bytes} (server.max_frame_bytes). "
            "Scale pictures down to `limits.max_side`",
            "frame_too_large",
        )


def _from_loose_base64(text: str) -> bytes:
    """Decode base64 with spaces and line breaks, URL-safe, without padding, or with `+` turned into spaces."""
    try:
        raw = text.encode("ascii").lstrip().rstrip(_BREAKS).translate(_URL_SAFE)  # no picture starts with a `+`
        if _spaces_were_plus(raw):
            raw = raw.replace(b" ", b"+")
        packed = raw.translate(None, _BLANK).rstrip(b"=")
        return base64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
    except ValueError as error:
        raise BadFrame(f"invalid base64: {error}", "base64_invalid") from None


def _spaces_were_plus(raw: bytes) -> bool:
    """Whether form decoding turned each `+` into a space: one digit in 64 should be a `+`, and there is none.

    The total length shows it, or spaces that do not divide the text into lines of equal length.
    """
    if b" " not in raw or b"+" in raw or any(line_break in raw for line_break in _BREAKS):
        return False
    fits_with, fits_without = len(raw) % 4 == 0, (len(raw) - raw.count(b" ")) % 4 == 0
    if fits_with != fits_without:
        return fits_with
    return not _spaces_are_regular(raw)


def _spaces_are_regular(raw: bytes) -> bool:
    """Whether all lines but the last are equally long: by slices, since a list of the lines of `A A A` is huge."""
    first, spaces = raw.index(b" "), raw.count(b" ")
    return raw[first : first + (first + 1) * spaces : first + 1] == b" " * spaces


def _check_fields(payload: Mapping[object, object]) -> None:
    for key in payload:
        if key not in FIELDS:
            name = str(key)[:64]
            hint = did_you_mean(name, FIELDS) or f"; known fields: {', '.join(FIELDS)}"
            raise BadFrame(f"unknown field '{shown(name)}'{hint}", "unknown_field")
    if "image" not in payload:
        raise BadFrame("the field 'image' is missing", "frame_type")


def _is_unicode(text: str) -> bool:
    """False: it has half of a surrogate pair, which JSON can carry, and which no receiver has to accept."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _captured_at(value: object) -> float | None:
    if value is None:
        return None
    try:
        if not isinstance(value, bool) and isinstance(value, (int, float)) and math.isfinite(value):
            return float(value)
    except OverflowError:  # a whole number that no float can hold
        pass
    raise BadFrame("captured_at must be a number (seconds since 1970)", "option_invalid")


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
