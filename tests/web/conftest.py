"""A service for all web tests that need no special settings."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.conftest import Running, Serve
from tests.fakes import CANARY_ROWS, FakeEngine


@pytest.fixture(scope="package")
async def live(serve: Serve) -> AsyncIterator[Running]:
    """A ready service with a fake engine.

    The frame limit is low, so that oversized frames are cheap to build. The burst is large, so that frames in quick
    succession are not skipped on a busy machine.
    """
    flags = {"server__max_frame_bytes": "200000", "flow__burst": "100"}
    async with serve(FakeEngine(CANARY_ROWS), wait_ready=True, **flags) as running:
        yield running
