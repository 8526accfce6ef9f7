"""The bookkeeping of engines that compile nothing."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

import pytest

from appliance.engines.slots import Slots
from appliance.errors import EngineError


def until(true: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.001)


def waits(thread: threading.Thread) -> bool:
    return sys._current_frames()[thread.ident or 0].f_code.co_name in ("wait", "close")


def test_two_threads_may_close_at_once() -> None:
    """Each would get one of the two slots when it becomes free, and wait for the other."""
    slots = Slots(2)
    for _ in range(2):
        slots.__enter__()
    closing = [threading.Thread(target=slots.close, daemon=True) for _ in range(2)]
    for thread in closing:
        thread.start()
        until(lambda: waits(thread))  # noqa: B023  # called at once
    for _ in range(2):
        slots.__exit__(None, None, None)
        until(lambda: not slots._free._value or not any(thread.is_alive() for thread in closing))
    for thread in closing:
        thread.join(30)
        assert not thread.is_alive()
    with pytest.raises(EngineError, match="closed"):
        slots.__enter__()
