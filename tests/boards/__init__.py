"""Boards as file trees, one text file each: `path = content` or `path -> link target`, and `#` for the source.

Paths, names and limits are those of the source. Changing values (temperatures, loads) are a snapshot, or an example if
the source has none; serial numbers are examples. Backslash escapes are Python's.
"""

from __future__ import annotations

from pathlib import Path

NAMES = ("pi4", "pi5", "orin_nano", "nuc", "vm")


def lay_out(name: str, root: Path) -> Path:
    """Create the board's file tree in this folder; return the folder."""
    for line in (Path(__file__).parent / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        path, arrow, target = line.partition(" -> ")
        if not arrow:
            path, _, content = line.partition(" = ")
            put(root, path, content.encode().decode("unicode_escape") + "\n")
            continue
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).symlink_to(target)
    return root


def put(root: Path, path: str, content: str | bytes) -> Path:
    """Write one file, creating or replacing it."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file
