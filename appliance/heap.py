"""The allocator's memory."""

from __future__ import annotations

import contextlib
import ctypes


def give_back() -> None:
    """Return to the system what has been freed: glibc keeps it, for each thread apart."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
