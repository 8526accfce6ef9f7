"""Small kernel files, read safely whatever their content.

Rules of this file:
- Unreadable or invalid content is None. No function raises.
- Files are read without Python's file objects: a sensor that is switched off returns EAGAIN (three zones of every
  Jetson Orin Nano), for which those return None instead of bytes.
- A read hangs as long as its driver hangs. Callers run in a thread that may hang too (sensors/threaded.py).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_MAX_BYTES = 256 * 1024
"""The longest file accepted; the longest in practice is mountinfo on a host with many containers."""
_NUMBERS = {10: re.compile(r"[+-]?[0-9]{1,20}"), 16: re.compile(r"(?:0x)?[0-9a-fA-F]{1,16}")}


def text(path: Path) -> str | None:
    """The content of a file, without surrounding white space and NULs; None if unreadable."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return None
    try:
        parts = []
        left = _MAX_BYTES + 1
        while left and (part := os.read(file, left)):
            parts.append(part)
            left -= len(part)
    except OSError:
        return None
    finally:
        os.close(file)
    return b"".join(parts).decode("utf-8", "replace").strip("\0 \t\r\n") if left else None


def lines(path: Path) -> list[str]:
    """The lines of a file; empty if unreadable."""
    return (text(path) or "").splitlines()


def number(path: Path, base: int = 10) -> int | None:
    """The integer in a file that contains nothing else, in base 10 or 16."""
    content = text(path)
    return int(content, base) if content and _NUMBERS[base].fullmatch(content) else None


def label(path: Path) -> str:
    """A name from a driver, safe to display: printable, at most 128 characters; empty if there is none."""
    return "".join(letter for letter in (text(path) or "")[:128] if letter.isprintable()).strip()


def within(value: float | None, least: float, most: float) -> float | None:
    """The value if it is plausible, else None; a failing sensor often reports 0, -273 or 999."""
    return value if value is not None and least <= value <= most else None
