"""Try a model before its activation, and compare it with the model in use.

Rules of this file:
- A trial takes the real path: pictures as cameras send them, through the same decoding, engine and reader.
- A failure of the model in use never counts against the new model, which is then tried alone.
- A model that falls back to a stand-in engine is rejected if the model in use runs on the configured engine, or will
  once that is built.
"""

from __future__ import annotations

import contextlib
import logging
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance import files
from appliance.errors import ApplianceError, BadFrame, EngineError, ModelError
from appliance.flow.inference import Answer, Inference, Network
from appliance.models.active import NOT_ACTIVATED
from appliance.ports import Clock
from appliance.values import Detection, Frame, Picture, ResultFilter
from appliance.vision import decode, picture_files, scene, self_test
from appliance.vision.likeness import MATCH_CONFIDENCE, likeness

log = logging.getLogger(__name__)

_ROUNDS = 5
_FAST_MS = 20.0
"""A model below this passes any comparison: so short a time mostly measures the other load of the machine."""
_MOST_PICTURES = 100
_MOST_PIXELS = 100_000_000
_MOST_PICTURE_BYTES, _MOST_BYTES = 20_000_000, 100_000_000
"""Limits for one picture file and for all of them, which share memory with the running service."""

LoadInference = Callable[[str], Inference]
"""Load the network of the bundle with this name. Raises ModelError or EngineError."""


@dataclass(frozen=True, slots=True)
class TrialBounds:
    """How much worse than the current model a new one may be. Wide: the bounds catch a wrong file, not a choice."""

    least_likeness: float = 0.5
    """0-1, over all pictures and the classes that both models know."""
    most_slower: float = 4.0
    """Largest factor by which the inference time may grow."""


@dataclass(frozen=True, slots=True)
class ModelTrial:
    """Result of a trial."""

    model: str
    infer_ms: float
    pictures: int
    former: str | None = None
    former_infer_ms: float | None = None
    likeness: float | None = None
    """0-1; None without a second model, or if the two share no class."""
    sign_problem: str | None = None
    """Why the self-test failed; None: passed, or the model has no class for the test image."""
    stand_in: str | None = None
    """Why another engine than the configured one ran it; None: the configured engine did."""

    def objection(self, bounds: TrialBounds) -> str | None:
        """Reason to reject the model, as a sentence for the user; None: accepted."""
        if self.sign_problem is not None:
            return f"the self-test failed: {self.sign_problem}"
        if self.likeness is not None and self.likeness < bounds.least_likeness:
            pictures = "1 picture" if self.pictures == 1 else f"{self.pictures} pictures"
            return (
                f"its detections differ from those of {self.former}: {100 * self.likeness:.0f} % agreement on "
                f"{pictures}, at least {100 * bounds.least_likeness:.0f} % required"
            )
        if self.former_infer_ms and self.infer_ms > max(_FAST_MS, bounds.most_slower * self.former_infer_ms):
            return (
                f"its inference time is {self.infer_ms:.0f} ms, more than {bounds.most_slower:g} times that of "
                f"{self.former} ({self.former_infer_ms:.0f} ms)"
            )
        return None


def _loses_its_engine(new: Network, former: Network | None) -> EngineError | ModelError | None:
    """Why the configured engine cannot run the new model, if it runs the former one or will once that is built."""
    former_has_engine = former is not None and (former.lacks is None or former.build is not None)
    return new.lacks if former_has_engine and new.build is None else None


def load_and_try(
    load: LoadInference,
    name: str,
    former: Inference | None,
    pictures: Path | None,
    bounds: TrialBounds | None,
    max_side: int,
    clock: Clock,
) -> tuple[Inference, ModelTrial]:
    """Load the network of this bundle and try it; `bounds` None skips the comparison. Slow: it compiles the network.

    Raises ModelError model_not_activated if the model exceeds `bounds`, any error of the loading, and EngineError if
    the trial fails.
    """
    new = load(name)
    try:
        if (lacks := _loses_its_engine(new.network, former.network if former is not None else None)) is not None:
            raise lacks
        trial = try_out(new, former if bounds else None, _read_pictures(pictures), max_side, clock)
        objection = trial.objection(bounds or TrialBounds())
        if objection:
            raise ModelError(objection, NOT_ACTIVATED)
    except BaseException as error:
        new.close()
        if isinstance(error, ApplianceError) or not isinstance(error, Exception):
            raise
        log.error("the trial of %s failed", name, exc_info=error)
        raise EngineError(f"the trial failed: {error}") from error  # e.g. output that its reader cannot parse
    return new, trial


def try_out(
    new: Inference, former: Inference | None, pictures: Sequence[Picture], max_side: int, clock: Clock
) -> ModelTrial:
    """Run both networks on the test image and `pictures`; if the former network fails, run the new one alone.

    Pictures that cannot be decoded are skipped.
    """
    try:
        return _compare(new, former, pictures, max_side, clock)
    except _FormerFails as error:
        traced = None if isinstance(error.__cause__, ApplianceError) else error.__cause__
        log.error("%s; trying %s without a comparison", error, new.network.info.name, exc_info=traced)
        return _compare(new, None, pictures, max_side, clock)


class _FormerFails(Exception):
    """The network in use failed in the trial, which says nothing about the new one."""


def _compare(
    new: Inference, former: Inference | None, pictures: Sequence[Picture], max_side: int, clock: Clock
) -> ModelTrial:
    known_picture = self_test.image()
    drawn, info = known_picture.picture, new.network.info
    shown = list(_answers(new, former, [drawn, *pictures], max_side, clock))
    ours = [answer.detected.detections for answer, _ in shown]
    theirs = [answer.detected.detections for _, answer in shown if answer is not None]
    times = [pair for _ in range(_ROUNDS) for pair in _answers(new, former, [drawn], max_side, clock)]
    known = set(info.classes) & set(former.network.info.classes) if former is not None else set()
    return ModelTrial(
        model=info.name,
        infer_ms=1000 * statistics.median(answer.engine_s for answer, _ in times),
        pictures=len(shown),
        former=former.network.info.name if former is not None else None,
        former_infer_ms=1000 * statistics.median(answer.engine_s for _, answer in times if answer)
        if former is not None
        else None,
        likeness=likeness(_only(ours, known), _only(theirs, known)) if known else None,
        sign_problem=known_picture.problem(ours[0], shown[0][0].detected.input_size, new.network.reader.max_detections)
        if scene.SIGN in info.classes
        else None,
        stand_in=str(new.network.lacks) if new.network.lacks is not None else None,
    )


def _answers(
    new: Inference, former: Inference | None, pictures: Sequence[Picture], max_side: int, clock: Clock
) -> Iterator[tuple[Answer, Answer | None]]:
    for number, picture in enumerate(pictures):
        frame = Frame("_trial", "_trial", number, picture, ResultFilter(MATCH_CONFIDENCE), clock())
        with contextlib.suppress(BadFrame):
            yield new.run(frame, max_side), _of_former(former, frame, max_side) if former is not None else None


def _of_former(former: Inference, frame: Frame, max_side: int) -> Answer:
    try:
        return former.run(frame, max_side)
    except BadFrame:
        raise
    except Exception as error:  # never the fault of the new network
        raise _FormerFails(f"the model in use, {former.network.info.name}, failed in the trial: {error}") from error


def _only(found: Sequence[Sequence[Detection]], classes: set[str]) -> list[list[Detection]]:
    return [[one for one in picture if one.name in classes] for picture in found]


def _read_pictures(folder: Path | None) -> list[Picture]:
    """Read the pictures of a folder. Raises ModelError model_not_activated if there are none."""
    if folder is None:
        return []
    pictures, left = [], _MOST_BYTES
    for path in picture_files.find(folder)[:_MOST_PICTURES]:
        with contextlib.suppress(BadFrame, OSError):  # read_plain refuses a pipe, which would block
            pictures.append(decode.read_header(files.read_plain(path, min(_MOST_PICTURE_BYTES, left)), _MOST_PIXELS))
            left -= len(pictures[-1].data)
    if not pictures:
        raise ModelError(f"no readable pictures (JPEG, PNG or WebP) in {folder}", NOT_ACTIVATED)
    return pictures
