"""Choose the input size of each frame, and which sizes get a compiled network of their own.

Rules of this file:
- Every frame runs at the size that fits it best, because the engine has one network that accepts any size. Without it
  (`any_size`), a frame whose size has no network yet runs at the one that shows it largest.
- A regularly used size gets its own network, which processes more frames for the same heat. It is compiled on a
  separate thread, and no frame waits for it.
- The number of such networks is limited. A size replaces another only if it was recently used twice as often, so that
  two cameras do not evict each other in turns. The old network is dropped first, so that memory never holds both;
  without `any_size` it is dropped last, so that no frame waits.
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
"""Frames after which a size gets a network of its own."""
_HALF_LIFE = 64
"""Frames after which the use counts are halved."""


class Sizes:
    """The input sizes of an engine. Every method may be called from any thread.

    `stride`, `fixed`: of the network. `most`: the number of sizes with a network of their own. `any_size`: whether the
    engine may have one more, for any size.
    """

    def __init__(
        self, engine: Engine, stride: int, fixed: Size | None, *, most: int = 1, any_size: bool = True
    ) -> None:
        self._engine, self._stride, self._fixed = engine, stride, fixed
        self.any_size = any_size
        self._most = self._usual_most = most
        self._scarce = False
        """Memory is scarce: prepare nothing in advance."""
        self._lock = threading.Lock()
        self._used: Counter[Size] = Counter()
        self._until_half = _HALF_LIFE
        self._to_prepare: SimpleQueue[Size | None] = SimpleQueue()
        self._requested: set[Size | None] = set()
        """Sizes that are being prepared, and sizes that failed."""
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def scarce(self) -> bool:
        """Whether memory is scarce."""
        return self._scarce

    def best(self, image: Size, max_side: int) -> Size:
        """The best input size for images of this size."""
        return self._fixed or letterbox.input_size(image, max_side, self._stride)

    def choose(self, image: Size, max_side: int, next_side: int = 0) -> Size:
        """The size for a frame now. `next_side`: the limit that may come next (px); 0: none."""
        best = self.best(image, max_side)
        with self._lock:
            self._count(best)
            if best not in self._engine.ready() and self._is_worth_it(best):
                self._prepare_later(best)
        if not self.any_size:
            return self._fitting(image, best)
        if next_side and self.best(image, next_side) != best:
            self.prepare_any()
        return best

    def prepare_any(self) -> None:
        """Prepare the network that accepts any size, before it is needed."""
        if None not in self._engine.ready() and self.any_size and not self._scarce:
            with self._lock:
                self._prepare_later(None)

    def keep(self, most: int | None) -> None:
        """Keep at most this many networks, and prepare none in advance; None: as many as at the start. Drops the least
        used ones from the next frame on.
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
        """Stop preparing networks and wait for the present compilation; `at_most_s` None: until it is done.

        A process that exits during a compilation is aborted.
        """
        with self._lock:
            self._closed = True
            thread = self._thread
        self._to_prepare.put(None)
        if thread is not None:
            thread.join(at_most_s)

    def _fitting(self, image: Size, best: Size) -> Size:
        """The size that shows the picture largest among those with a network; none above the limit if there is one."""
        ready = self._engine.ready()
        own = [size for size in ready if size is not None]
        if not own or best in own:
            return best
        if None in ready:  # made for a frame whose size was replaced meanwhile
            self._engine.drop(None)
        side = max(best.width, best.height)
        return max(own, key=lambda size: (max(size.width, size.height) <= side, _scale(image, size)))

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
        """The size that another may replace; None: there is room."""
        own = [size for size in self._engine.ready() if size is not None]
        return min(own, key=self._used.__getitem__) if len(own) >= self._most else None

    def _prepare_later(self, size: Size | None) -> None:
        if self._closed or size in self._requested:
            return
        self._requested.add(size)
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
            if least is not None and self.any_size:
                self._engine.drop(least)
            try:
                self._engine.prepare(size)
            except EngineError as error:
                log.error("%s; frames run without it", error, extra={"kind": "compile", "code": error.code})
                continue
            if least is not None and not self.any_size:
                self._engine.drop(least)
            with self._lock:
                self._requested.discard(size)


def _scale(image: Size, size: Size) -> float:
    """How large a picture is in a network's input of this size."""
    return min(size.width / image.width, size.height / image.height)
