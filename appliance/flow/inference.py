"""One frame's way through the chip: decoded into the network's input, compared with the last one, inferred, read.

It goes from its bytes to its boxes on one thread, which holds the GIL for little of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from appliance.errors import EngineError, ModelError, NotBuilt
from appliance.flow import scene_gate
from appliance.flow.core_boost import CoreBoost
from appliance.flow.sizes import Sizes
from appliance.ports import Clock, Engine
from appliance.values import Detected, Frame, ModelInfo, ResultFilter, Size, Timing
from appliance.vision import decode, letterbox, thumbnail
from appliance.vision.admission import Admission
from appliance.vision.heads import Reader
from appliance.vision.letterbox import Placing


@dataclass(frozen=True, slots=True)
class Network:
    """A loaded model: the engine that runs it, the reader of its output, and the sizes of its input."""

    info: ModelInfo
    engine: Engine
    reader: Reader
    sizes: Sizes
    placing: Placing = "centre"
    """Where a picture lies in its input."""
    lacks: EngineError | ModelError | None = None
    """Why this is a stand-in for the engine that was asked for; NotBuilt: until that is built."""
    forget: Callable[[], None] | None = None
    """Remove what was compiled and is kept on disk, so that the next load compiles it; None: nothing is kept."""

    @property
    def build(self) -> tuple[str, ...] | None:
        """The program that builds what is lacking; None: nothing is, or the box cannot mend it by itself."""
        return self.lacks.build if isinstance(self.lacks, NotBuilt) else None

    def close(self, at_most_s: float | None = None) -> None:
        """Release the engine, when what it compiles and runs has ended. `at_most_s`: how long to wait for what it
        compiles; None: until that is done.
        """
        self.sizes.close(at_most_s)
        self.engine.close()


@dataclass(frozen=True, slots=True)
class LastScene:
    """What a camera showed when it was last inferred: the scene gate answers with it while nothing has changed."""

    cells: scene_gate.Cells
    wanted: ResultFilter
    answer: Detected
    at_s: float
    model: ModelInfo
    """The very network that answered: one of the same name may have taken its place."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A frame's answer, the engine time it took (s), and what to remember of it for the scene gate."""

    detected: Detected
    engine_s: float
    seen: LastScene | None


class Inference:
    """Runs frames through one network.

    `refresh_s`: how long the scene gate may repeat an answer; None: no scene gate. `core_boost`: decides which frames
    get all cores; None: no frame does. `admission`: decides which pictures may be decoded; None: all within the size
    limit.
    """

    def __init__(
        self,
        network: Network,
        *,
        clock: Clock,
        refresh_s: float | None = None,
        core_boost: CoreBoost | None = None,
        admission: Admission | None = None,
    ) -> None:
        self.network = network
        self._core_boost = core_boost
        self._admission = admission or Admission()
        self.sparing = False
        """Heat counts more than an early answer: no frame gets all cores."""
        self._clock, self._refresh_s = clock, refresh_s
        self._slot = threading.Semaphore(network.engine.slots)

    @property
    def threads(self) -> int:
        """That keep the engine busy: one more than it has slots, so that the next frame is decoded meanwhile; see
        docs/decisions/0005.
        """
        return self.network.engine.slots + 1

    def run(self, frame: Frame, max_side: int, seen: LastScene | None = None, next_side: int = 0) -> Answer:
        """The answer to a frame; `seen` is what its camera showed last. May be called from many threads.

        `max_side`: longest side of the network's input, px; `next_side`: the one that may come next, 0 for none.

        Raises BadFrame when its pixels cannot be decoded, or memory does not suffice for it; EngineError when the
        engine fails.
        """
        if self._core_boost is None:
            return self._run(frame, max_side, seen, next_side)
        self._core_boost.begin()
        try:
            return self._run(frame, max_side, seen, next_side)
        finally:
            self._core_boost.end()

    def _run(self, frame: Frame, max_side: int, seen: LastScene | None, next_side: int) -> Answer:
        network = self.network
        started_s = self._clock()
        size = network.sizes.choose(frame.picture.size, max_side, next_side)
        place = letterbox.fit(frame.picture.size, size, network.placing)
        with self._admission.admitted(frame.picture, place.inner):
            cells = thumbnail.mean_colours(frame.picture) if self._refresh_s is not None else None
            if cells is not None and seen is not None and self._holds(seen, frame, size, cells, started_s):
                timing = _timing(frame, started_s, self._clock(), 0.0)
                return Answer(replace(seen.answer, cached="unchanged", timing=timing), 0.0, seen)
            tensor = decode.load(frame.picture, place)
        decoded_s = self._clock()
        with self._slot:
            begun_s = self._clock()
            alone = self._core_boost is not None and self._core_boost.alone()
            all_cores = alone and self._gets_all_cores(size)
            found = network.engine.infer(
                tensor, lambda raw: network.reader.read(raw, place, frame.wanted), all_cores=all_cores
            )
        done_s = self._clock()
        if alone and self._core_boost is not None:
            self._core_boost.took(size, all_cores, done_s - begun_s)

        timing = _timing(frame, started_s, decoded_s, done_s - decoded_s)
        answer = Detected(found, frame.picture.size, size, network.info.name, timing)
        kept = LastScene(cells, frame.wanted, answer, started_s, network.info) if cells is not None else None
        return Answer(answer, done_s - begun_s, kept)

    def _gets_all_cores(self, size: Size) -> bool:
        """Whether a frame that is alone does; what that needs is made ready beside the work."""
        ready = self.network.engine.ready()
        if self._core_boost is None or self.sparing or size not in ready or not self._core_boost.all_cores(size):
            return False
        if None not in ready:
            self.network.sizes.prepare_any()
            return False
        return True

    def _holds(self, seen: LastScene, frame: Frame, size: Size, cells: scene_gate.Cells, now_s: float) -> bool:
        """Whether the last answer is this frame's as well: nothing asked has changed, and nothing in the scene."""
        answer = seen.answer
        asked = (seen.wanted, answer.input_size, answer.image_size)
        if asked != (frame.wanted, size, frame.picture.size) or seen.model is not self.network.info:
            return False
        if self._refresh_s is None or now_s - seen.at_s >= self._refresh_s:
            return False
        return scene_gate.compare(seen.cells, cells).strongest < 1


def _timing(frame: Frame, started_s: float, decoded_s: float, infer_s: float) -> Timing:
    done_s = decoded_s + infer_s
    return Timing(
        ms(started_s - frame.received_s), ms(decoded_s - started_s), ms(infer_s), ms(done_s - frame.received_s)
    )


def ms(seconds: float) -> float:
    """Milliseconds, as they are reported."""
    return round(seconds * 1000, 2)
