"""Bookkeeping for engines that compile nothing: concurrent slots, prepared sizes, and close.

Such an engine runs every input size on the same network, so of what appliance/ports.py promises only the bookkeeping
remains. Every method may be called from any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

import numpy as np

from appliance.errors import EngineError
from appliance.ports import Tensor
from appliance.values import Size


class Slots:
    """A limit on concurrent inferences: `with slots:` waits for a free slot and holds it.

    Raises EngineError after `close`.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = threading.Semaphore(count)
        self._lock, self._closing = threading.Lock(), threading.Lock()
        self._ready: list[Size | None] = []
        self._closed = False

    def __enter__(self) -> None:
        self._free.acquire()
        if self._closed:
            self._free.release()
            raise EngineError("the engine is closed")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._free.release()

    def prepare(self, size: Size | None, run: Callable[[Tensor], None]) -> bool:
        """Check with one inference of a blank tensor that the network accepts this size, and record it.

        Returns whether something was compiled: never. Raises what `run` raises.
        """
        if size is not None and size not in self.ready():
            run(np.zeros((size.height, size.width, 3), np.uint8))
        self.mark_ready(size)
        return False

    def mark_ready(self, size: Size | None) -> None:
        """Record that this size is prepared, or any size (None)."""
        with self._lock:
            if size not in self._ready:
                self._ready.append(size)

    def ready(self) -> tuple[Size | None, ...]:
        """The prepared sizes, in the order in which they were prepared."""
        with self._lock:
            return tuple(self._ready)

    def drop(self, size: Size | None) -> None:
        """Record that this size is no longer prepared."""
        with self._lock:
            self._ready = [other for other in self._ready if other != size]

    def close(self) -> None:
        """Wait until every slot is free, and refuse all later use."""
        self._closed = True
        with self._closing:  # two threads that hold some slots each would wait for each other
            for _ in range(self.count):
                self._free.acquire()
            self._free.release(self.count)
