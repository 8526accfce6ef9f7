"""Connections that are refused: what they are told, and how those that try again at full speed are slowed down."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import Any

import socketio

from appliance.ports import Clock

log = logging.getLogger(__name__)

_AT_ONCE = 3
"""Refusals of one client in a row that are answered at once."""
_FORGET_S = 60.0
_HELD_S = 0.75
"""How long later answers are held back. python-socketio waits one second for an answer by default; a longer pause would
keep the reason from it."""
_MOST_KNOWN = 1000
_MOST_HELD = 200
"""Answers held back at once; more are given at once, so that this costs no memory."""


def refusal(code: str, why: str, retry_after_s: float | None = None) -> Exception:
    """What the library sends as `connect_error`. `retry_after_s` None: trying the same again will never work."""
    error: Exception = socketio.exceptions.ConnectionRefusedError(why, {"code": code, "retry_after": retry_after_s})
    return error


class Refusals:
    """Remembers for a minute who was refused."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        """Refusals in a row and when the last one was, by address and name; the oldest first."""
        self._held = 0

    async def hold(self, address: str, name: Any, error: Exception) -> None:
        """Log a refusal, and return when its answer may be sent."""
        name = name[:64] if isinstance(name, str) else ""
        code = _code(error)
        log.warning(
            "refused connection: camera=%s address=%s code=%s: %s", name or "-", address, code, _text(error),
            extra={"kind": "refused", "camera": name, "code": code},
        )  # fmt: skip
        if self._count((address, name)) <= _AT_ONCE or self._held >= _MOST_HELD:
            return
        self._held += 1
        try:
            await asyncio.sleep(_HELD_S)
        finally:
            self._held -= 1

    def accepted(self, address: str, name: Any) -> None:
        """This client was let in."""
        self._known.pop((address, name if isinstance(name, str) else ""), None)

    def _count(self, who: tuple[str, str]) -> int:
        now = self._clock()
        count, last_s = self._known.pop(who, (0, now))
        count = 1 if now - last_s > _FORGET_S else count + 1
        self._known[who] = count, now
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return count


def _code(error: Exception) -> str:
    return str(error.args[1]["code"]) if len(error.args) > 1 else ""


def _text(error: Exception) -> str:
    return str(error.args[0]) if error.args else ""
