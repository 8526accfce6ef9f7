"""The process's memory: what the allocator keeps after it was freed (glibc; elsewhere nothing happens), and what the
garbage collector visits.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
from functools import cache

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
        allocator = _allocator()
        allocator.mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
        allocator.mallopt(_M_ARENA_MAX, _ARENAS)


def trim() -> None:
    """Return freed memory to the system. glibc otherwise keeps it, separately for each thread."""
    with contextlib.suppress(OSError, AttributeError):
        _allocator().malloc_trim(0)


def freeze() -> None:
    """Exempt what exists now from garbage collection; call it when everything that stays is loaded, and again when some
    of that may be gone.

    A full collection stops all threads until every object has been visited: those of the libraries are a hundred
    thousand, and what comes later is a few thousand.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.collect()  # a full collection comes when a quarter of what this one leaves is new: from now on soon


@cache
def _allocator() -> ctypes.CDLL:
    return ctypes.CDLL(None)
