"""Refuse frames that come too early before Engine.IO and Socket.IO unpack them.

A camera that floods sends hundreds of frames a second, and unpacking each takes the event loop longer than everything
else that happens to it. Rules of this file:
- Only a camera whose next frame is too early is affected; everything else is passed on as it came.
- Only plain frames are refused here: without an acknowledgement, with at most one attachment. All others, and what is
  malformed, go the long way.
- Answers to pings are passed on, so that Engine.IO knows that the client is there.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

import msgspec

_ATTACHED, _TEXT = '451-["process_frame",', '42["process_frame",'
_LONGEST_ANNOUNCEMENT, _MOST_COMMAS = 4096, 64
_PLACEHOLDER = {"_placeholder": True, "num": 0}


class Refuse(Protocol):
    """Decides about the frames of one connection."""

    def is_early(self) -> bool:
        """Whether a frame that came now would be too early. Cheap."""

    def refuse(self, payload: Any) -> bool:
        """Refuse a frame and answer it, if it is too early; else nothing happens."""


class EarlyFrames:
    """Takes the messages of one websocket, and returns those that are to be passed on."""

    def __init__(self, refuse: Refuse) -> None:
        self._refuse = refuse
        self._announcement: str | None = None
        """Of a frame whose picture is the next message."""
        self._passed: deque[str | bytes] = deque()

    def take(self) -> str | bytes | None:
        """The next message that is passed on."""
        return self._passed.popleft() if self._passed else None

    def put(self, message: str | bytes) -> None:
        """Take the next message that was received."""
        announcement, self._announcement = self._announcement, None
        if announcement is not None:
            if not (isinstance(message, bytes) and self._is_refused(announcement, _ATTACHED)):
                self._passed += (announcement, message)
        elif not isinstance(message, str):
            self._passed.append(message)
        elif message.startswith(_ATTACHED) and len(message) <= _LONGEST_ANNOUNCEMENT and self._refuse.is_early():
            self._announcement = message
        elif not (message.startswith(_TEXT) and self._refuse.is_early() and self._is_refused(message, _TEXT)):
            self._passed.append(message)

    def _is_refused(self, announcement: str, kind: str) -> bool:
        if announcement.count(",") > _MOST_COMMAS:
            return False
        try:
            event = msgspec.json.decode(announcement[kind.index("[") :])
        except (ValueError, RecursionError):
            return False
        if not isinstance(event, list) or len(event) != 2:
            return False
        payload = event[1]
        image = payload.get("image", payload) if isinstance(payload, dict) else payload
        plain = image == _PLACEHOLDER if kind == _ATTACHED else isinstance(image, str)
        return plain and self._refuse.refuse(payload)
