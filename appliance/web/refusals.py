"""Refused connections: the reason that clients get, and a delay for those that retry too fast."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import Any

import socketio

from appliance.ports import Clock

log = logging.getLogger(__name__)

_UNDELAYED = 3
"""Refusals of one client in a row that are answered at once."""
_FORGET_S = 60.0
_DELAY_S = 0.75
"""Delay of later answers. python-socketio waits one second for an answer by default; after a longer delay it would
never get the reason."""
_MAX_REMEMBERED = 1000
_MAX_DELAYED = 200
"""Answers delayed at the same time; more are sent at once, which bounds the memory in use."""


def refusal(code: str, why: str, retry_after_s: float | None = None) -> Exception:
    """What the library sends as `connect_error`. `retry_after_s` None: the same attempt will never succeed."""
    error: Exception = socketio.exceptions.ConnectionRefusedError(why, {"code": code, "retry_after": retry_after_s})
    return error


class RefusalThrottle:
    """Counts refusals by client, remembers them for a minute, and delays the answers to fast retries."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._refused: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        """Consecutive refusals and the time of the last one, by address and name; the oldest first."""
        self._delayed = 0

    async def delay(self, address: str, name: Any, error: Exception) -> None:
        """Log a refusal, and return when its answer may be sent."""
        name = name[:64] if isinstance(name, str) else ""
        code = _code(error)
        log.warning(
            "refused connection: camera=%s address=%s code=%s: %s", name or "-", address, code,
            _text(error).removeprefix(f"{code}: "),
            extra={"kind": "refused", "camera": name, "code": code},
        )  # fmt: skip
        if self._count((address, name)) <= _UNDELAYED or self._delayed >= _MAX_DELAYED:
            return
        self._delayed += 1
        try:
            await asyncio.sleep(_DELAY_S)
        finally:
            self._delayed -= 1

    def accepted(self, address: str, name: Any) -> None:
        """Forget the refusals of a client that has been accepted."""
        self._refused.pop((address, name if isinstance(name, str) else ""), None)

    def _count(self, client: tuple[str, str]) -> int:
        now = self._clock()
        count, last_s = self._refused.pop(client, (0, now))
        count = 1 if now - last_s > _FORGET_S else count + 1
        self._refused[client] = count, now
        if len(self._refused) > _MAX_REMEMBERED:
            self._refused.popitem(last=False)
        return count


def _code(error: Exception) -> str:
    return str(error.args[1]["code"]) if len(error.args) > 1 else ""


def _text(error: Exception) -> str:
    return str(error.args[0]) if error.args else ""
