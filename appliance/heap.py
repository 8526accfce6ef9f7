"""Memory that the allocator keeps after it was freed."""

from __future__ import annotations

import contextlib
import ctypes


def trim() -> None:
    """Return freed memory to the system. glibc otherwise keeps it, separately for each thread."""
    with contextlib.suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)
