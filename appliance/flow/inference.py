"""One frame's way through the chip: decoded into the network's input, compared with the last one, inferred, read.

Everything slow happens on a decoder's thread or on the engine's own; the event loop only waits for futures.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from appliance.errors import EngineError
from appliance.flow import scene_gate
from appliance.ports import Clock, Engine
from appliance.values import Detected, Detection, Frame, ModelInfo, Size, Timing, Wanted
from appliance.vision import decode, letterbox, thumbnail
from appliance.vision.heads import Reader


@dataclass(frozen=True, slots=True)
class Network:
    """A loaded model: the engine that runs it, the reader of its output, and what its input may be."""

    info: ModelInfo
    engine: Engine
    reader: Reader
    stride: int
    fixed_size: Size | None

    def input_size(self, image: Size, max_side: int) -> Size:
        return self.fixed_size or letterbox.input_size(image, max_side, self.stride)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a camera showed when it was last inferred: the scene gate answers with it while nothing has changed."""

    cells: scene_gate.Cells
    wanted: Wanted
    answer: Detected
    at_s: float


@dataclass(frozen=True, slots=True)
class Answer:
    """A frame's answer, the engine time it took (s), and what to remember of it for the scene gate."""

    detected: Detected
    engine_s: float
    seen: Seen | None


@dataclass(slots=True)
class _Job:
    """The moments of a frame's way, monotonic s, and what was learnt on it."""

    frame: Frame
    size: Size
    started_s: float
    decoded_s: float = 0.0
    begun_s: float = 0.0
    """Inference began: after the wait for a free request of the engine."""
    read_s: float = 0.0
    cells: scene_gate.Cells | None = None


class Inference:
    """Runs frames through one network. `refresh_s`: how long the scene gate may repeat an answer; None: no gate."""

    def __init__(
        self,
        network: Network,
        *,
        clock: Clock,
        decode_threads: int = 2,
        deadline_s: float = 20.0,
        refresh_s: float | None = None,
    ) -> None:
        self.network = network
        self._clock, self._deadline_s, self._refresh_s = clock, deadline_s, refresh_s
        self._decoders = ThreadPoolExecutor(decode_threads, "decode")

    async def run(self, frame: Frame, max_side: int, seen: Seen | None) -> Answer:
        """The answer to a frame; `seen` is what its camera showed last.

        Raises BadFrame when its pixels cannot be decoded, EngineError when the engine fails or gives no answer in time.
        """
        size = self.network.input_size(frame.picture.size, max_side)
        job = _Job(frame, size, self._clock())
        try:
            detections = await asyncio.wait_for(self._infer(job, seen), self._deadline_s)
        except asyncio.TimeoutError:
            raise EngineError(f"the engine gave no answer within {self._deadline_s:.0f} s") from None
        if detections is None:
            assert seen is not None  # only then can nothing have changed
            return Answer(replace(seen.answer, cached="unchanged", timing=self._timing(job)), 0.0, seen)
        answer = Detected(detections, frame.picture.size, size, self.network.info.name, self._timing(job))
        kept = Seen(job.cells, frame.wanted, answer, job.started_s) if job.cells is not None else None
        return Answer(answer, max(0.0, job.read_s - job.begun_s), kept)

    def close(self) -> None:
        """Take no more frames; those under way end by themselves."""
        self._decoders.shutdown(wait=False, cancel_futures=True)

    async def _infer(self, job: _Job, seen: Seen | None) -> tuple[Detection, ...] | None:
        future = await asyncio.get_running_loop().run_in_executor(self._decoders, self._start, job, seen)
        if future is None:
            return None
        detections: tuple[Detection, ...] = await asyncio.wrap_future(future)
        return detections

    def _start(self, job: _Job, seen: Seen | None) -> Future[tuple[Detection, ...]] | None:
        """On a decoder's thread: pixels into the input, inference begun; None when nothing has changed."""
        network, frame = self.network, job.frame
        if self._refresh_s is not None:
            job.cells = thumbnail.cells(frame.picture)
            if seen is not None and self._unchanged(job, seen, self._refresh_s):
                job.decoded_s = job.begun_s = job.read_s = self._clock()
                return None
        network.engine.prepare(job.size)
        place = letterbox.fit(frame.picture.size, job.size)
        tensor = decode.load(frame.picture, place)
        job.decoded_s = self._clock()

        def read(raw: object) -> tuple[Detection, ...]:
            found = network.reader.read(raw, place, frame.wanted)  # type: ignore[arg-type]
            job.read_s = self._clock()
            return found

        future = network.engine.infer(tensor, read)
        job.begun_s = self._clock()
        return future

    def _unchanged(self, job: _Job, seen: Seen, refresh_s: float) -> bool:
        same = seen.wanted == job.frame.wanted and seen.answer.input_size == job.size
        same = same and seen.answer.image_size == job.frame.picture.size
        same = same and seen.answer.model == self.network.info.name
        if not same or job.cells is None or job.started_s - seen.at_s >= refresh_s:
            return False
        return scene_gate.compare(seen.cells, job.cells).strongest < 1

    def _timing(self, job: _Job) -> Timing:
        received_s = job.frame.received_s
        return Timing(
            wait_ms=ms(job.started_s - received_s),
            decode_ms=ms(job.decoded_s - job.started_s),
            infer_ms=ms(job.read_s - job.decoded_s),
            total_ms=ms(self._clock() - received_s),
        )


def ms(seconds: float) -> float:
    """Milliseconds, as they are reported."""
    return round(seconds * 1000, 2)
