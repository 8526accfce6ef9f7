"""Memory that the allocator keeps after it was freed (glibc; elsewhere nothing happens)."""

from __future__ import annotations

import contextlib
import ctypes

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
_MAPPED_BYTES = 256 * 1024
_ARENAS = 2


def settle() -> None:
    """Keep the heap compact for years; call it before the first thread starts.

    glibc gives each thread a heap of its own, and after the first freed picture it keeps pictures inside these heaps:
    among longer-lived objects, freed pictures leave holes that grow for hours. With a fixed threshold, which is what
    setting it means, large blocks are mapped one by one and returned when freed, and two heaps serve all threads.
    """
    with contextlib.suppress(OSError, AttributeError):
        allocator = ctypes.CDLL(None)
        allocator.mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
        allocator.mallopt(_M_ARENA_MAX, _ARENAS)


def trim() -> None:
    """Return freed memory to the system. glibc otherwise keeps it, separately for each thread."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
