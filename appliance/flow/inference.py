"""Run inference on one frame: decode it, compare it with the camera's last one, infer, read the output.

A frame goes from bytes to bounding boxes on one thread, which holds the GIL only briefly.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from appliance.errors import EngineError, ModelError, NotBuilt
from appliance.flow.core_boost import CoreBoost
from appliance.flow.crops.crops import Crops, Views
from appliance.flow.optional import optional
from appliance.flow.picture_watch import PictureWatch
from appliance.flow.scene_gate import GateLook, GateRequest, LastScene, SceneGate
from appliance.flow.sizes import Sizes
from appliance.ports import Clock, Engine, Raw, Tensor
from appliance.values import Detected, Detection, Frame, ModelInfo, ResultFilter, Size, Timing
from appliance.vision import letterbox, view
from appliance.vision.admission import Admission
from appliance.vision.decoder import Decoder, OwnThread
from appliance.vision.heads import Reader
from appliance.vision.letterbox import Letterbox, Placing
from appliance.vision.thumbnail import Cells
from appliance.vision.window import PicturePart

_GATE, _CROPS, _WATCH = "the scene gate", "crops", "the watch over its pictures"
"""Optional stages, by the name that the log gives them."""


@dataclass(frozen=True, slots=True)
class Network:
    """A loaded model: the engine that runs it, the reader of its output, and the sizes of its input."""

    info: ModelInfo
    engine: Engine
    reader: Reader
    sizes: Sizes
    placing: Placing = "centre"
    """Placement of a picture in the network's input."""
    lacks: EngineError | ModelError | None = None
    """Why this engine stands in for the configured one; NotBuilt: only until that is built. None: no stand-in."""
    forget: Callable[[], None] | None = None
    """Remove the compiled network from the disk cache, so that the next load compiles it; None: not cached."""

    @property
    def build(self) -> tuple[str, ...] | None:
        """The command that builds the configured engine; None: nothing to build, or the device cannot build it."""
        return self.lacks.build if isinstance(self.lacks, NotBuilt) else None

    def close(self, at_most_s: float | None = None) -> None:
        """Release the engine once its compilations and inferences have ended.

        `at_most_s`: longest wait for compilations; None: no limit.
        """
        self.sizes.close(at_most_s)
        self.engine.close()


@dataclass(frozen=True, slots=True)
class Answer:
    """A frame's result, its engine time (s), and the scene to keep for the scene gate."""

    detected: Detected
    engine_s: float
    scene: LastScene | None


class Inference:
    """Runs frames through one network.

    `gate`: repeats answers of unchanged scenes; None: none does. `core_boost`: decides which frames get all cores;
    None: no frame does. `admission`: decides which pictures may be decoded; None: all within the size limit. `decoder`:
    where they are decoded; None: on the calling thread. `crops`: decides where to look at a picture's own detail; None:
    every frame runs as a whole.
    """

    def __init__(
        self,
        network: Network,
        *,
        clock: Clock,
        gate: SceneGate | None = None,
        core_boost: CoreBoost | None = None,
        admission: Admission | None = None,
        decoder: Decoder | None = None,
        crops: Crops | None = None,
    ) -> None:
        self.network = network
        self._crops = crops
        self._decoder = decoder or OwnThread()
        self._core_boost = core_boost
        self._admission = admission or Admission()
        self.sparing = False
        """The governor limits heat: no frame gets all cores."""
        self._clock, self._gate = clock, gate
        self._slot = threading.Semaphore(network.engine.slots)

    @property
    def threads(self) -> int:
        """Threads that keep the engine busy: one per slot, plus one that decodes the next frame meanwhile.

        See docs/decisions/0005.
        """
        return self.network.engine.slots + 1

    def run(
        self,
        frame: Frame,
        max_side: int,
        last_scene: LastScene | None = None,
        next_side: int = 0,
        picture: PictureWatch | None = None,
    ) -> Answer:
        """Return the answer to a frame. Thread-safe.

        `max_side`: longest side of the network's input, px. `last_scene`: the scene its camera last showed.
        `next_side`: the longest side that may be requested next, to be prepared in advance; 0: none. `picture`: judges
        the camera's pictures.

        Raises BadFrame if the picture cannot be decoded or does not fit in memory; EngineError if the engine fails or
        nothing can be decoded now.
        """
        if self._core_boost is None:
            return self._run(frame, max_side, last_scene, next_side, picture)
        self._core_boost.begin()
        try:
            return self._run(frame, max_side, last_scene, next_side, picture)
        finally:
            self._core_boost.end()

    def close(self) -> None:
        """Release the network once its compilations and running inferences have ended."""
        self.network.close()

    def _run(
        self,
        frame: Frame,
        max_side: int,
        last: LastScene | None,
        next_side: int,
        picture: PictureWatch | None,
        *,
        crops: bool = True,
    ) -> Answer:
        network = self.network
        started_s = self._clock()
        size = network.sizes.choose(frame.picture.size, max_side, next_side)
        place = letterbox.fit(frame.picture.size, size, network.placing)
        crop = self._crop_size(frame, size, max_side) if crops else None
        with self._admission.admitted(frame.picture, frame.picture.size if crop else place.inner):
            thumb = self._decoder.mean_colours(frame.picture) if self._gate is not None or crop else None
            request = GateRequest(frame.wanted, frame.picture.size, size)
            look = self._look(frame, last, thumb, request, started_s)
            if look is not None and last is not None and look.holds:
                return self._held(frame, last, look, picture, started_s)
            views = self._views(frame, thumb, size, crop, max_side)
            windows = views.windows if views is not None else (PicturePart(0, 0, place),)
            tensors = self._load(frame, windows)
        decoded_s = self._clock()
        with self._slot:
            infer_started_s = self._clock()
            found = self._infer(tensors, windows, frame.wanted)
        done_s = self._clock()

        if picture is not None and windows[0].place == place:
            _watch(picture, frame, tensors[0], place, started_s)
        merged = self._merged(frame, views, found) if views is not None else found[0]
        if merged is None:
            return self._run(frame, max_side, last, next_side, None, crops=False)
        merged = view.apply(frame.wanted.view, merged, frame.picture.size)
        timing = _timing(frame, started_s, decoded_s, done_s - decoded_s)
        regions = views.regions if views is not None else ()
        answer = Detected(
            merged, frame.picture.size, windows[0].place.outer, network.info.name, timing, regions=regions
        )  # fmt: skip
        scene = None
        if self._gate is not None and look is not None:
            with optional(_GATE, frame.camera):
                scene = self._gate.inferred(last, look, request, network.info, answer, started_s)
        return Answer(answer, done_s - infer_started_s, scene)

    def _look(
        self, frame: Frame, last: LastScene | None, cells: Cells | None, request: GateRequest, now_s: float
    ) -> GateLook | None:
        """Compare a frame with its camera's last scene; None: no scene gate, or nothing to compare."""
        if self._gate is not None and cells is not None:
            with optional(_GATE, frame.camera):
                return self._gate.look(last, cells, request, self.network.info, now_s)
        return None

    def _held(
        self, frame: Frame, last: LastScene, look: GateLook, picture: PictureWatch | None, started_s: float
    ) -> Answer:
        """The last answer again."""
        timing = _timing(frame, started_s, self._clock(), 0.0)
        if picture is not None:
            with optional(_WATCH, frame.camera):
                picture.repeated(started_s, bool(np.array_equal(look.cells, last.cells)))
        scene = None
        if self._gate is not None:
            with optional(_GATE, frame.camera):
                scene = self._gate.held(last, look)
        again = replace(last.answer, detections=last.repeated(started_s), cached="unchanged", timing=timing)
        return Answer(again, 0.0, scene)

    def _crop_size(self, frame: Frame, whole: Size, max_side: int) -> Size | None:
        """The input size of crops of this frame; None: it runs as a whole."""
        sizes = self.network.sizes
        if self._crops is None or sizes.scarce or not sizes.any_size:
            return None
        crop = sizes.best(frame.picture.size, max_side // 2)
        with optional(_CROPS, frame.camera):
            return crop if self._crops.applies(frame, whole, crop) else None
        return None

    def _views(self, frame: Frame, thumb: Cells | None, whole: Size, crop: Size | None, max_side: int) -> Views | None:
        """What to look at in this frame; None: the whole picture."""
        if self._crops is None or crop is None or thumb is None:
            return None
        self.network.sizes.choose(frame.picture.size, max_side // 2)
        with optional(_CROPS, frame.camera):
            return self._crops.plan(frame, thumb, whole, crop, audits=not self.sparing)
        return None

    def _merged(self, frame: Frame, views: Views, found: list[tuple[Detection, ...]]) -> tuple[Detection, ...] | None:
        """What was found in all windows; None: unknown, the frame is to run as a whole."""
        if self._crops is not None:
            with optional(_CROPS, frame.camera):
                return self._crops.conclude(frame, views, found)
        return None

    def _load(self, frame: Frame, windows: tuple[PicturePart, ...]) -> list[Tensor]:
        if len(windows) == 1 and windows[0].is_whole(frame.picture.size):
            return [self._decoder.load(frame.picture, windows[0].place)]
        return self._decoder.load_windows(frame.picture, windows)

    def _infer(
        self, tensors: list[Tensor], windows: tuple[PicturePart, ...], wanted: ResultFilter
    ) -> list[tuple[Detection, ...]]:
        """Infer each window's tensor, one after the other: a frame never takes more than one slot of the engine."""
        network, found = self.network, []
        for tensor, window in zip(tensors, windows, strict=True):
            started_s, size, place = self._clock(), window.place.outer, window.place
            alone = self._core_boost is not None and self._core_boost.alone()
            all_cores = alone and self._gets_all_cores(size)
            read = partial(_read, network.reader, place, wanted)
            found.append(network.engine.infer(tensor, read, all_cores=all_cores))
            if alone and self._core_boost is not None:
                self._core_boost.record(size, all_cores, self._clock() - started_s)
        return found

    def _gets_all_cores(self, size: Size) -> bool:
        """Whether a frame that is alone gets all cores; starts the compilation this needs in the background."""
        ready = self.network.engine.ready()
        if self._core_boost is None or self.sparing or size not in ready or not self._core_boost.all_cores(size):
            return False
        if None not in ready:
            self.network.sizes.prepare_any()
            return False
        return True


def _read(reader: Reader, place: Letterbox, wanted: ResultFilter, raw: Raw) -> tuple[Detection, ...]:
    return reader.read(raw, place, wanted)


def _watch(picture: PictureWatch, frame: Frame, tensor: Tensor, place: Letterbox, now_s: float) -> None:
    """Judge the picture in a tensor that shows the whole of it."""
    rows, columns = (
        slice(place.top, place.top + place.inner.height),
        slice(place.left, place.left + place.inner.width),
    )
    with optional(_WATCH, frame.camera):
        picture.look(tensor[rows, columns], now_s)


def _timing(frame: Frame, started_s: float, decoded_s: float, infer_s: float) -> Timing:
    done_s = decoded_s + infer_s
    return Timing(
        ms(started_s - frame.received_s), ms(decoded_s - started_s), ms(infer_s), ms(done_s - frame.received_s)
    )


def ms(seconds: float) -> float:
    """Convert seconds to milliseconds, rounded for reports."""
    return round(seconds * 1000, 2)
