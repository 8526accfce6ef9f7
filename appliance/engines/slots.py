"""For engines that compile nothing: whose turn it is, which sizes were asked for, and the end.

Such an engine has one network for every size, so that of what appliance/ports.py promises this is the book-keeping
alone. Every method may be called from any thread.
"""

from __future__ import annotations

import threading
from types import TracebackType

from appliance.errors import EngineError
from appliance.values import Size


class Turns:
    """`with turns:` waits until one of `slots` is free, and holds it. Raises EngineError after `close`."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._free = threading.Semaphore(slots)
        self._lock = threading.Lock()
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

    def note(self, size: Size | None) -> None:
        """This size is prepared from now on, or any (None)."""
        with self._lock:
            if size not in self._ready:
                self._ready.append(size)

    def ready(self) -> tuple[Size | None, ...]:
        """What is prepared now, in its order."""
        with self._lock:
            return tuple(self._ready)

    def drop(self, size: Size | None) -> None:
        """It is no longer."""
        with self._lock:
            self._ready = [other for other in self._ready if other != size]

    def close(self) -> None:
        """Wait for the turns that are taken; nobody gets one after that."""
        self._closed = True
        for _ in range(self.slots):
            self._free.acquire()
        self._free.release(self.slots)
