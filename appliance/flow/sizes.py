"""Which input size a frame runs at: the one that fits it best if that is compiled, else the nearest that is.

Rules of this file:
- Compiling takes a good part of a second. It is done on a thread of its own, and no frame that can run meanwhile waits
  for it: a camera of a new shape, or a new limit, begins with a size that is nearly as good.
- A shape that is seen only once (somebody's photograph) is not compiled if there is a size that is nearly as good.
- The size of the next lower limit is made ready before it is needed, where there is room for it.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from queue import SimpleQueue

from appliance.errors import EngineError
from appliance.ports import Engine
from appliance.values import Size
from appliance.vision import letterbox

log = logging.getLogger(__name__)

_NEARLY = 0.75
"""Part of the scale of the best size that is nearly as good."""
_REGULAR = 2
"""Frames of a shape after which it is worth a size of its own."""
_MOST_COUNTED = 100


class Sizes:
    """Chooses among an engine's sizes and has others compiled.

    `stride`, `fixed`: the network's. `most`: sizes that the engine keeps. `exact`: wait for the best size, always.
    """

    def __init__(self, engine: Engine, stride: int, fixed: Size | None, *, most: int = 4, exact: bool = False) -> None:
        self._engine, self._stride, self._fixed, self._most, self._exact = engine, stride, fixed, most, exact
        self._lock = threading.Lock()
        self._frames: Counter[Size] = Counter()
        self._to_compile: SimpleQueue[Size | None] = SimpleQueue()
        self._pending: set[Size] = set()
        self._failed: set[Size] = set()
        self._thread: threading.Thread | None = None

    def best(self, image: Size, max_side: int) -> Size:
        """The size that fits pictures of this size best."""
        return self._fixed or letterbox.input_size(image, max_side, self._stride)

    def choose(self, image: Size, max_side: int, next_side: int = 0) -> Size:
        """The size for a frame now. `next_side`: the limit that may come after this one (px); 0: none.

        Waits for a compilation only where no size that is nearly as good is ready. Raises EngineError.
        """
        best = self.best(image, max_side)
        ready = self._engine.ready()
        if best in ready:
            lower = self.best(image, next_side) if next_side else best
            if lower not in ready and len(ready) < self._most:
                self._compile_later(lower)
            return best
        near = None if self._exact else _nearest(image, best, ready)
        if near is None:
            self._engine.prepare(best)
            return best
        if self._is_regular(best):
            self._compile_later(best)
        return near

    def close(self) -> None:
        """Compile nothing more."""
        self._to_compile.put(None)

    def _is_regular(self, size: Size) -> bool:
        with self._lock:
            if len(self._frames) > _MOST_COUNTED:
                self._frames.clear()
            self._frames[size] += 1
            return self._frames[size] >= _REGULAR

    def _compile_later(self, size: Size) -> None:
        with self._lock:
            if size in self._pending or size in self._failed:
                return
            self._pending.add(size)
            if self._thread is None:
                self._thread = threading.Thread(target=self._compile, name="compile", daemon=True)
                self._thread.start()
        self._to_compile.put(size)

    def _compile(self) -> None:
        while (size := self._to_compile.get()) is not None:
            try:
                self._engine.prepare(size)
            except EngineError as error:
                self._failed.add(size)
                log.error("%s; frames go on at another size", error, extra={"kind": "compile", "code": error.code})
            with self._lock:
                self._pending.discard(size)
                del self._frames[size]


def _nearest(image: Size, best: Size, ready: tuple[Size, ...]) -> Size | None:
    """Of the sizes that show the picture nearly as large as the best one does, the largest that is not larger."""

    def scale(size: Size) -> float:
        return min(size.width / image.width, size.height / image.height) / min(
            best.width / image.width, best.height / image.height
        )

    near = [size for size in ready if scale(size) >= _NEARLY]
    return max(near, key=lambda size: (min(scale(size), 1.0), -size.width * size.height), default=None)
