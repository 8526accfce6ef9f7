"""One service for all web tests that need no settings of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.conftest import Running, Serve
from tests.fakes import CANARY_ROWS, FakeEngine


@pytest.fixture(scope="package")
async def live(serve: Serve) -> AsyncIterator[Running]:
    """A ready service around a fake engine; small frames only, so that too large ones are cheap to make, and in a burst
    as large as may be: on a busy machine a frame right after another comes too soon.
    """
    flags = {"server__max_frame_bytes": "200000", "flow__burst": "100"}
    async with serve(FakeEngine(CANARY_ROWS), wait_ready=True, **flags) as running:
        yield running
