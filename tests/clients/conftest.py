"""Fixtures that download the JavaScript clients once; tests are skipped if a client is unavailable."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.clients import nodejs
from tests.conftest import ROOT

INSTALLED = ROOT / ".cache" / "js-client"
OLD = ROOT / ".cache" / "js-client-2"


@asynccontextmanager
async def client(*command: str, **environment: str) -> AsyncIterator[asyncio.StreamReader]:
    """A client in a process of its own; yields its stdout. Its stdin stays open until the end."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=os.environ | environment
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.kill()
        await process.communicate()


@pytest.fixture(scope="session")
def node() -> str:
    """Node.js, with the official JavaScript client of Socket.IO installed in `INSTALLED`."""
    return nodejs.install(INSTALLED, "socket.io-client", "4")


@pytest.fixture(scope="session")
def old_client(node: str) -> Path:
    """The official JavaScript client of Socket.IO 2."""
    nodejs.install(OLD, "socket.io-client", "2")
    return OLD / "node_modules" / "socket.io-client"


@pytest.fixture(scope="session")
def curl() -> str:
    found = shutil.which("curl")
    if found is None:
        pytest.skip("curl is not installed")
    return found
