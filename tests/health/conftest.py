"""A loop whose time passes when nobody has anything to do, so that nothing here waits for the real one."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

import pytest


class _Ready(selectors.DefaultSelector):
    """Never waits: says how long it would have."""

    skipped_s = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        events = super().select(0)
        if not events:
            self.skipped_s += timeout
        return events


class SkippingLoop(asyncio.SelectorEventLoop):
    """Its sleeps are over at once, in their order, and its time says that they were not."""

    def __init__(self) -> None:
        self._ready_now = _Ready()
        super().__init__(self._ready_now)

    def time(self) -> float:
        return super().time() + self._ready_now.skipped_s


@pytest.fixture(scope="package")
def anyio_backend() -> tuple[str, dict[str, Callable[[], asyncio.AbstractEventLoop]]]:
    return "asyncio", {"loop_factory": SkippingLoop}
