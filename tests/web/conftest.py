"""One service for all web tests that need no settings of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.conftest import Running, Serve
from tests.fakes import CANARY_ROWS, FakeEngine


@pytest.fixture(scope="package")
async def live(serve: Serve) -> AsyncIterator[Running]:
    """A ready service around a fake engine; small frames only, so that too large ones are cheap to make."""
    async with serve(FakeEngine(CANARY_ROWS), wait_ready=True, server__max_frame_bytes="200000") as running:
        yield running
