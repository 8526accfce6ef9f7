"""What a stranger sent -> a Frame, or a BadFrame that says what to send instead.

One reader for Socket.IO and HTTP. `process_frame` may carry base64 text, a data URL, raw bytes, or an object with the
picture in `image` and options beside it.
"""

from __future__ import annotations

import asyncio
import base64
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from appliance.errors import BadFrame, did_you_mean
from appliance.ports import Clock
from appliance.values import BIG_BYTES, Frame, FrameId, ResultFilter
from appliance.vision.decode import read_header

FIELDS = ("image", "frame_id", "captured_at", "min_confidence", "classes")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
_DATA_URL = re.compile(r"\s*data:[^,;]*(;[^,;]*)*,", re.IGNORECASE)
_BREAKS = b"\t\r\n\v\f"
_BLANK = b" " + _BREAKS
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_LONGEST_ID = 128
_MOST_NUMBER = 10**_LONGEST_ID
_MOST_CLASSES = 1000


HTTP = "http-"
"""Begins the names of the lanes that HTTP requests take; no camera's own name does."""


def is_camera_name(name: object) -> bool:
    """Names go into logs, addresses and metrics: letters, digits, `_.:-`, 64 at the most."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None and not name.startswith(HTTP)


def frame_id_of(payload: object) -> FrameId | None:
    """The frame's id if it has a usable one, so that even an unusable frame's error can name it."""
    if isinstance(payload, Mapping):
        frame_id = payload.get("frame_id")
        if isinstance(frame_id, str):
            return frame_id if len(frame_id) <= _LONGEST_ID else None
        if isinstance(frame_id, float):
            return frame_id if math.isfinite(frame_id) else None
        if isinstance(frame_id, int) and not isinstance(frame_id, bool) and abs(frame_id) < _MOST_NUMBER:
            return frame_id
    return None


@dataclass(frozen=True, slots=True)
class Intake:
    """The bounds of what is taken."""

    max_frame_bytes: int
    max_pixels: int
    min_confidence: float
    """Where the sender does not say."""
    clock: Clock

    async def read(self, payload: object, *, camera: str, sender: str, frame_id: FrameId) -> Frame:
        """As `frame`, but off the event loop where it takes long: base64 of a megabyte costs 5 ms, its header 1."""
        image = payload.get("image") if isinstance(payload, Mapping) else payload
        read = partial(self.frame, payload, camera=camera, sender=sender, frame_id=frame_id)
        if isinstance(image, (str, bytes)) and len(image) > BIG_BYTES:
            return await asyncio.get_running_loop().run_in_executor(None, read)
        return read()

    def frame(self, payload: object, *, camera: str, sender: str, frame_id: FrameId) -> Frame:
        """A frame from a `process_frame` payload; `frame_id` is used where it has none of its own.

        Raises BadFrame with every code that its docstring lists.
        """
        received_s = self.clock()
        options: Mapping[str, object] = {}
        if isinstance(payload, Mapping):
            options = payload
            _check_fields(payload)
            payload = payload["image"]
        data = self.picture_bytes(payload)
        own_id = options.get("frame_id")
        if own_id is not None:
            known = frame_id_of(options)
            if known is None:
                raise BadFrame(
                    f"frame_id must be a finite number or a text of up to {_LONGEST_ID} characters", "option_invalid"
                )
            frame_id = known
        return Frame(
            camera=camera,
            sender=sender,
            frame_id=frame_id,
            picture=read_header(data, self.max_pixels),
            wanted=self.wanted(options.get("min_confidence"), options.get("classes")),
            received_s=received_s,
            captured_at=_captured_at(options.get("captured_at")),
        )

    def picture_bytes(self, image: object) -> bytes:
        """The picture's own bytes out of any form it may come in."""
        if isinstance(image, str):
            image = self._from_base64(image)
        elif isinstance(image, (bytearray, memoryview)):
            image = bytes(image)
        if not isinstance(image, bytes):
            raise BadFrame(
                f"a frame is bytes, base64 text, or an object with 'image'; this is {_kind(image)}", "frame_type"
            )
        if not image:
            raise BadFrame("the frame is empty", "frame_empty")
        if len(image) > self.max_frame_bytes:
            raise self._too_large(len(image))
        return image

    def wanted(self, min_confidence: object, classes: object) -> ResultFilter:
        """The options of one frame."""
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
            or len(classes) > _MOST_CLASSES
            or not all(isinstance(name, str) and len(name) <= _LONGEST_ID for name in classes)
        ):
            raise BadFrame(f"classes must be a list of up to {_MOST_CLASSES} class names", "option_invalid")
        return ResultFilter(float(min_confidence), frozenset(classes))

    def _from_base64(self, text: str) -> bytes:
        prefix = _DATA_URL.match(text, 0, 200)
        if prefix is not None:
            if ";base64" not in prefix.group().lower().replace(" ", ""):
                raise BadFrame("a data URL must be base64: data:image/jpeg;base64,…", "base64_invalid")
            text = text[prefix.end() :]
        if len(text) * 3 // 4 > self.max_frame_bytes + 2:
            raise self._too_large(len(text) * 3 // 4)
        try:
            return base64.b64decode(text, validate=True)
        except ValueError:
            return _from_loose_base64(text)

    def _too_large(self, size: int) -> BadFrame:
        return BadFrame(
            f"{size} bytes; at most {self.max_frame_bytes} are taken (server.max_frame_bytes). "
            "Send smaller pictures: `limits.max_side` says how small they may be",
            "frame_too_large",
        )


def _from_loose_base64(text: str) -> bytes:
    """Base64 as it also comes: with blanks and line breaks, URL-safe, without its padding, `+` turned into blanks."""
    try:
        raw = text.encode("ascii").lstrip().rstrip(_BREAKS).translate(_URL_SAFE)  # no picture begins with a `+`
        if _lost_its_plus(raw):
            raw = raw.replace(b" ", b"+")
        packed = raw.translate(None, _BLANK).rstrip(b"=")
        return base64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
    except ValueError as error:
        raise BadFrame(f"not valid base64: {error}", "base64_invalid") from None


def _lost_its_plus(raw: bytes) -> bool:
    """Whether its blanks were `+` before somebody decoded a form: one digit in 64 is a `+`, and here is none.

    Its length shows it, or that the blanks do not make lines of one length.
    """
    if b" " not in raw or b"+" in raw or any(line_break in raw for line_break in _BREAKS):
        return False
    fits_with, fits_without = len(raw) % 4 == 0, (len(raw) - raw.count(b" ")) % 4 == 0
    if fits_with != fits_without:
        return fits_with
    return len({len(line) for line in raw.split(b" ")[:-1]}) > 1


def _check_fields(payload: Mapping[object, object]) -> None:
    for key in payload:
        if key not in FIELDS:
            hint = did_you_mean(str(key)[:64], FIELDS) or f"; known: {', '.join(FIELDS)}"
            raise BadFrame(f"unknown field '{str(key)[:64]}'{hint}", "unknown_field")
    if "image" not in payload:
        raise BadFrame("the object has no 'image'", "frame_type")


def _captured_at(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BadFrame("captured_at must be a number: seconds since 1970", "option_invalid")
    return float(value)


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
