"""An event loop with simulated time: sleeps end at once, so the tests never wait."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

import pytest


class _Ready(selectors.DefaultSelector):
    """Never waits; adds up the time that it would have waited."""

    skipped_s = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        events = super().select(0)
        if not events:
            self.skipped_s += timeout
        return events


class SkippingLoop(asyncio.SelectorEventLoop):
    """Ends sleeps at once, in order, and advances its own time accordingly."""

    def __init__(self) -> None:
        self._ready_now = _Ready()
        super().__init__(self._ready_now)

    def time(self) -> float:
        return super().time() + self._ready_now.skipped_s


@pytest.fixture(scope="package")
def anyio_backend() -> tuple[str, dict[str, Callable[[], asyncio.AbstractEventLoop]]]:
    return "asyncio", {"loop_factory": SkippingLoop}
