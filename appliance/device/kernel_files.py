"""Small files of the kernel, read so that nothing that stands in them does harm.

Rules of this file:
- What cannot be read, or is not what it should be, is None. No error comes out of here.
- The bytes are read without Python's file objects: a sensor that is switched off answers EAGAIN (three zones of every
  Jetson Orin Nano), which those turn into None where bytes are expected.
- A read may hang as long as the driver does. Whoever calls is on a thread that may hang with it (rounds.py).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_MOST_BYTES = 256 * 1024
"""A longer file is none of the kernel's small ones; mountinfo on a host with many containers is the longest we read."""
_NUMBERS = {10: re.compile(r"[+-]?[0-9]{1,20}"), 16: re.compile(r"(?:0x)?[0-9a-fA-F]{1,16}")}


def text(path: Path) -> str | None:
    """What the file says, without white space and NULs around it."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError):  # the latter: a path with a NUL in it
        return None
    try:
        parts = []
        left = _MOST_BYTES + 1
        while left and (part := os.read(file, left)):
            parts.append(part)
            left -= len(part)
    except OSError:
        return None
    finally:
        os.close(file)
    return b"".join(parts).decode("utf-8", "replace").strip("\0 \t\r\n") if left else None


def lines(path: Path) -> list[str]:
    """Its lines; none where it cannot be read."""
    return (text(path) or "").splitlines()


def number(path: Path, base: int = 10) -> int | None:
    """The whole number that is all the file says, in base 10 or 16."""
    found = text(path)
    return int(found, base) if found and _NUMBERS[base].fullmatch(found) else None


def label(path: Path) -> str:
    """A name as a driver gives it, fit to be shown: printable, at most 128 characters; empty if there is none."""
    return "".join(letter for letter in (text(path) or "")[:128] if letter.isprintable()).strip()


def within(value: float | None, least: float, most: float) -> float | None:
    """The value if it can be; a sensor that fails says 0, -273 or 999 rather than nothing."""
    return value if value is not None and least <= value <= most else None
