"""What the service and a decoding process say to each other over a socket, with the image in shared memory.

Rules of this file:
- Requests are pickled: the process trusts the service. Answers are fixed fields and short text, never pickled: whoever
  has taken over the process chooses them.
- The shared memory holds the encoded image first, and the pixels from `pixels_at` on.
"""

from __future__ import annotations

import pickle
import struct
from dataclasses import dataclass, replace
from typing import TypeAlias

from appliance.errors import BadFrame
from appliance.values import Picture
from appliance.vision.letterbox import Letterbox
from appliance.vision.thumbnail import CELLS_WIDE
from appliance.vision.window import PicturePart

MOST_BYTES = 4096
_ANSWER = struct.Struct("<BHH")
_PIXELS, _NONE, _REFUSED = 0, 1, 2
_CODES = ("image_corrupt", "image_too_large")
_LONGEST_TEXT = 1000

Place: TypeAlias = Letterbox | tuple[PicturePart, ...] | None


@dataclass(frozen=True, slots=True)
class Request:
    """Decode the image in the shared memory.

    `place`: into a network's input, or parts of it into several, one after the other; None: a thumbnail.
    """

    picture: Picture
    """Without its data."""
    size: int
    """Bytes of the image."""
    place: Place


def request(picture: Picture, place: Place) -> bytes:
    return pickle.dumps(Request(replace(picture, data=b""), len(picture.data), place))


def read_request(message: bytes) -> Request:
    found: Request = pickle.loads(message)
    return found


def pixels(width: int, height: int) -> bytes:
    """The answer: this many pixels are in the shared memory; of several inputs, the first's."""
    return _ANSWER.pack(_PIXELS, width, height)


def no_thumbnail() -> bytes:
    return _ANSWER.pack(_NONE, 0, 0)


def refused(error: BadFrame) -> bytes:
    code = _CODES.index(error.code) if error.code in _CODES else 0
    return _ANSWER.pack(_REFUSED, code, 0) + str(error).encode()[:_LONGEST_TEXT]


def read_answer(message: bytes) -> tuple[int, int] | None:
    """Width and height of the pixels; None: no thumbnail. Raises BadFrame, and ValueError for nonsense."""
    if len(message) < _ANSWER.size:
        raise ValueError("a short answer")
    kind, first, second = _ANSWER.unpack(message[: _ANSWER.size])
    if kind == _PIXELS:
        return first, second
    if kind == _NONE:
        return None
    text = message[_ANSWER.size :].decode("utf-8", "replace")
    raise BadFrame(text, _CODES[first if first < len(_CODES) else 0])


def is_thumbnail(width: int, height: int) -> bool:
    return 1 <= width <= CELLS_WIDE and 1 <= height <= CELLS_WIDE
