"""Which input size a frame runs at, and which sizes have a network of their own.

Rules of this file:
- Every frame runs at the size that fits it best: the engine has one network that takes any size.
- A size that is used regularly is worth a network of its own: side by side, it does more frames for the same heat. That
  is compiled on a thread of its own, and no frame waits for it.
- At most so many sizes have one. A size takes another's place only when it is used twice as often of late, so that two
  cameras do not take it from each other in turns; the other is given up first, so that memory holds no two at once.
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

_REGULAR = 8
"""Frames after which a size is worth a network of its own."""
_HALF_LIFE = 64
"""Frames after which a use counts half."""


class Sizes:
    """The sizes of an engine's inputs. Every method may be called from any thread.

    `stride`, `fixed`: the network's. `most`: sizes with a network of their own.
    """

    def __init__(self, engine: Engine, stride: int, fixed: Size | None, *, most: int = 1) -> None:
        self._engine, self._stride, self._fixed = engine, stride, fixed
        self._most = self._usual_most = most
        self._scarce = False
        """Memory is: nothing is prepared before it is needed."""
        self._lock = threading.Lock()
        self._used: Counter[Size] = Counter()
        self._until_half = _HALF_LIFE
        self._to_prepare: SimpleQueue[Size | None] = SimpleQueue()
        self._asked: set[Size | None] = set()
        """What is being prepared, and what could not be."""
        self._thread: threading.Thread | None = None
        self._closed = False

    def best(self, image: Size, max_side: int) -> Size:
        """The size that fits pictures of this size best."""
        return self._fixed or letterbox.input_size(image, max_side, self._stride)

    def choose(self, image: Size, max_side: int, next_side: int = 0) -> Size:
        """The size for a frame now. `next_side`: the limit that may come after this one (px); 0: none."""
        best = self.best(image, max_side)
        with self._lock:
            self._count(best)
            if best not in self._engine.ready() and self._is_worth_it(best):
                self._prepare_later(best)
        if next_side and self.best(image, next_side) != best:
            self.prepare_any()
        return best

    def prepare_any(self) -> None:
        """Have the network for any size made ready before it is needed."""
        if None not in self._engine.ready() and not self._scarce:
            with self._lock:
                self._prepare_later(None)

    def keep(self, most: int | None) -> None:
        """Have at most so many networks, and none before it is needed; None: as many as at the start. Gives up what is
        used least, from the next frame on.
        """
        with self._lock:
            self._most = self._usual_most if most is None else min(most, self._usual_most)
            self._scarce = most is not None
            ready = self._engine.ready()
            own = sorted((size for size in ready if size is not None), key=self._used.__getitem__)
            spare: list[Size | None] = [*own[: max(0, len(own) - self._most)]]
            if self._scarce and own and None in ready:
                spare.append(None)
        for size in spare:
            self._engine.drop(size)

    def close(self, at_most_s: float | None = None) -> None:
        """Prepare nothing more, and wait for what is being prepared; `at_most_s` None: until it is done.

        A process that ends in the middle of a compilation is aborted.
        """
        with self._lock:
            self._closed = True
            thread = self._thread
        self._to_prepare.put(None)
        if thread is not None:
            thread.join(at_most_s)

    def _count(self, size: Size) -> None:
        self._used[size] += 1
        self._until_half -= 1
        if self._until_half == 0:
            self._until_half = _HALF_LIFE
            self._used = Counter({size: used // 2 for size, used in self._used.items() if used > 1})

    def _is_worth_it(self, size: Size) -> bool:
        least = self._least_used()
        return self._used[size] >= _REGULAR and (least is None or self._used[size] > 2 * self._used[least])

    def _least_used(self) -> Size | None:
        """Whose place another size may take; None: there is room."""
        own = [size for size in self._engine.ready() if size is not None]
        return min(own, key=self._used.__getitem__) if len(own) >= self._most else None

    def _prepare_later(self, size: Size | None) -> None:
        if self._closed or size in self._asked:
            return
        self._asked.add(size)
        if self._thread is None:
            self._thread = threading.Thread(target=self._prepare, name="compile", daemon=True)
            self._thread.start()
        self._to_prepare.put(size)

    def _prepare(self) -> None:
        while True:
            size = self._to_prepare.get()
            if self._closed:
                return
            with self._lock:
                least = self._least_used() if size is not None else None
            if least is not None:
                self._engine.drop(least)
            try:
                self._engine.prepare(size)
            except EngineError as error:
                log.error("%s; frames go on without it", error, extra={"kind": "compile", "code": error.code})
                continue
            with self._lock:
                self._asked.discard(size)
