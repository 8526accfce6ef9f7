"""Another model taken into use while cameras send: tried beside the one that works, then swapped in between two frames.

Rules of this file:
- The order is: load, try, swap, release. Until the swap nothing has changed, and nothing after it can fail.
- A trial is the real path: pictures as cameras send them, through the same decoding, engine and reader.
- The network at work never keeps another from taking its place: where it fails, the other is tried alone, and where it
  hangs, or nobody asks for the comparison, it is not run at all.
- The former network is released when the last frame that it began has been answered.
- Nothing is loaded beside the network at work where memory might not hold both: the kernel would end the service.
- A model that the chosen engine cannot run is not taken into use where that engine runs the present one, or could.
- Who asked writes the choice down, when it holds: under systemd the service may only read the folder of the models.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import statistics
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio

from appliance import files
from appliance.errors import ApplianceError, BadFrame, EngineError, ModelError
from appliance.flow.detector import Detector
from appliance.flow.inference import Answer, Inference, Network
from appliance.models.active import NOT_ACTIVATED
from appliance.ports import Clock
from appliance.values import Detection, Frame, Picture, ResultFilter
from appliance.vision import decode, scene, self_test
from appliance.vision.likeness import MATCH_CONFIDENCE, likeness

log = logging.getLogger(__name__)

_ROUNDS = 5
_FAST_MS = 20.0
"""Below this a model is fast enough beside any other: so short a time is mostly what else the machine does."""
_MOST_PICTURES = 100
_MOST_PIXELS = 100_000_000
_MOST_PICTURE_BYTES, _MOST_BYTES = 20_000_000, 100_000_000
"""Of one picture's file and of all: they are in memory while the service works."""
_SECOND_BYTES = 150_000_000
"""For a second nano network and its trial: 58 to 81 MB were taken at the most, of five pairs (OpenVINO, x86)."""
BUSY, MEMORY_SHORT = "activation_busy", "memory_short"
"""Codes of what stands in the way of any model, whatever it is worth."""
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")

Load = Callable[[str], Inference]
"""The network of a bundle, by its name. Raises ModelError or EngineError."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a new model may do worse than the present one. Wide: they stop a wrong file, not a choice."""

    least_likeness: float = 0.5
    """0-1, over the pictures and the classes that both know."""
    most_slower: float = 4.0
    """Times the present inference time."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of trying a model."""

    model: str
    infer_ms: float
    pictures: int
    former: str | None = None
    former_infer_ms: float | None = None
    likeness: float | None = None
    """0-1; None where there is no other model, or none of its classes is known to both."""
    sign_problem: str | None = None
    """What is wrong with its answer to the known picture; None also for a model that knows no stop sign."""
    stand_in: str | None = None
    """Why another engine ran it than the one that is asked for."""

    def objection(self, bounds: Bounds) -> str | None:
        """Why it should not be taken into use, in words for who asked; None: nothing is against it."""
        if self.sign_problem is not None:
            return f"it does not see the drawn stop signs: {self.sign_problem}"
        if self.likeness is not None and self.likeness < bounds.least_likeness:
            return (
                f"it finds other things than {self.former} does: {100 * self.likeness:.0f} % alike on {self.pictures} "
                f"pictures, and at least {100 * bounds.least_likeness:.0f} % is asked for"
            )
        if self.former_infer_ms and self.infer_ms > max(_FAST_MS, bounds.most_slower * self.former_infer_ms):
            return (
                f"it takes {self.infer_ms:.0f} ms where {self.former} takes {self.former_infer_ms:.0f}: "
                f"more than {bounds.most_slower:g} times as long"
            )
        return None


class Activation:
    """Activates models in the running service.

    `max_side`: longest side of the network's input in the trial, px. `room_bytes`: memory that can still be taken;
    None: unknown.
    """

    def __init__(
        self,
        *,
        detector: Detector,
        load: Load,
        max_side: int,
        clock: Clock,
        room_bytes: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._detector, self._load, self._room_bytes = detector, load, room_bytes
        self._max_side, self._clock = max_side, clock
        self._busy = False
        self._on_swap: list[Callable[[], None]] = []
        self.error: str | None = None
        """Why the model that somebody chose last was not activated; the former one stays in use."""

    def on_swap(self, call: Callable[[], None]) -> None:
        """Call this after each change of network."""
        self._on_swap.append(call)

    async def activate(
        self, name: str, pictures: Path | None = None, bounds: Bounds | None = Bounds(), *, chosen: bool = True
    ) -> Trial:
        """Activate the bundle called `name`; returns when every frame that the former network began is answered.

        `pictures`: a folder to compare the two on, next to the drawn scene; `bounds` None: do not compare. `chosen`:
        somebody chose this model, so that a failure stays in `error`.
        Raises ModelError or EngineError; the former model stays in use.
        """
        if self._busy:
            raise ModelError("another model is being activated; try again when that is done", BUSY)
        self._busy = True
        detector, loop = self._detector, asyncio.get_running_loop()
        try:
            if detector.inference is not None and not holds_two(room := self._room_bytes()):
                raise ModelError(_too_little(room), MEMORY_SHORT)
            beside = None if detector.stuck else detector.inference
            prove = partial(proved, self._load, name, beside, pictures, bounds, self._max_side, self._clock)
            new, trial = await loop.run_in_executor(None, prove)
            former = detector.swap(new)
            self.error = None
            for call in self._on_swap:
                call()
            replaced = former.network.info.name if former is not None else "none"
            log.info("%s is in use, in place of %s", name, replaced)
            if former is not None:
                with anyio.CancelScope(shield=True):  # it must not be closed under a frame, whoever asked has gone
                    await detector.settled()
                # A thread that nobody waits for: the former chip may hang, and may be replaced for that very reason.
                threading.Thread(target=close, args=(former,), name="release", daemon=True).start()
            return trial
        except (ModelError, EngineError) as error:
            failure = f"{name} was not activated: {error}"
            log.error("%s", failure, extra={"code": error.code})
            if chosen:
                self.error = failure
            raise
        finally:
            self._busy = False


def _loses_its_engine(new: Network, former: Network | None) -> EngineError | ModelError | None:
    """Why the chosen engine cannot run the new model, where it runs the former one or will when that is built."""
    has_it = former is not None and (former.lacks is None or former.build is not None)
    return new.lacks if has_it and new.build is None else None


def holds_two(room_bytes: int | None) -> bool:
    """Whether a second network can be loaded with so much memory left; None: unknown."""
    return room_bytes is None or room_bytes >= _SECOND_BYTES


def _too_little(room_bytes: int | None) -> str:
    return (
        f"trying a model beside the present one takes about {_SECOND_BYTES / 1e6:.0f} MB of memory, and "
        f"{(room_bytes or 0) / 1e6:.0f} MB are left; stop the service (`sudo systemctl stop appliance`), activate, and "
        "start it again"
    )


def proved(
    load: Load,
    name: str,
    former: Inference | None,
    pictures: Path | None,
    bounds: Bounds | None,
    max_side: int,
    clock: Clock,
) -> tuple[Inference, Trial]:
    """The network of this bundle, tried and found good; with `bounds` None alone. Slow: it compiles.

    Raises ModelError model_not_activated when it does worse than `bounds` allow, what loading raises, and EngineError
    for whatever goes wrong in the trial.
    """
    new = load(name)
    try:
        if (lacks := _loses_its_engine(new.network, former.network if former is not None else None)) is not None:
            raise lacks
        trial = try_out(new, former if bounds else None, _shown(pictures), max_side, clock)
        objection = trial.objection(bounds or Bounds())
        if objection:
            raise ModelError(objection, NOT_ACTIVATED)
    except BaseException as error:
        close(new)
        if isinstance(error, ApplianceError) or not isinstance(error, Exception):
            raise
        log.error("the trial of %s failed", name, exc_info=error)
        raise EngineError(f"the trial failed: {error}") from error  # its reader met what it was not made for
    return new, trial


def try_out(
    new: Inference, former: Inference | None, pictures: Sequence[Picture], max_side: int, clock: Clock
) -> Trial:
    """Run both networks over the drawn scene and `pictures`, or where the former one fails the new one alone; pictures
    that cannot be decoded are left out.
    """
    try:
        return _compare(new, former, pictures, max_side, clock)
    except _FormerFails as error:
        known = isinstance(error.__cause__, ApplianceError)
        log.error(
            "%s; %s is tried without it", error, new.network.info.name, exc_info=None if known else error.__cause__,
        )  # fmt: skip
        return _compare(new, None, pictures, max_side, clock)


class _FormerFails(Exception):
    """The network at work, which says nothing about the new one."""


def _compare(
    new: Inference, former: Inference | None, pictures: Sequence[Picture], max_side: int, clock: Clock
) -> Trial:
    known_picture = self_test.image()
    drawn, info = known_picture.picture, new.network.info
    shown = list(_answers(new, former, [drawn, *pictures], max_side, clock))
    ours = [answer.detected.detections for answer, _ in shown]
    theirs = [answer.detected.detections for _, answer in shown if answer is not None]
    times = [pair for _ in range(_ROUNDS) for pair in _answers(new, former, [drawn], max_side, clock)]
    known = set(info.classes) & set(former.network.info.classes) if former is not None else set()
    return Trial(
        model=info.name,
        infer_ms=1000 * statistics.median(answer.engine_s for answer, _ in times),
        pictures=len(shown),
        former=former.network.info.name if former is not None else None,
        former_infer_ms=1000 * statistics.median(answer.engine_s for _, answer in times if answer)
        if former is not None
        else None,
        likeness=likeness(_of(ours, known), _of(theirs, known)) if known else None,
        sign_problem=known_picture.problem(ours[0], shown[0][0].detected.input_size, new.network.reader.max_detections)
        if scene.SIGN in info.classes
        else None,
        stand_in=str(new.network.lacks) if new.network.lacks is not None else None,
    )


def close(inference: Inference) -> None:
    """Release a network, when what runs on it has ended."""
    inference.network.close()


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
    except Exception as error:  # whatever it is, it is not the new one's
        raise _FormerFails(f"{former.network.info.name}, which is in use, fails in the trial: {error}") from error


def _of(found: Sequence[Sequence[Detection]], classes: set[str]) -> list[list[Detection]]:
    return [[one for one in picture if one.name in classes] for picture in found]


def _shown(folder: Path | None) -> list[Picture]:
    """The pictures of a folder. Raises ModelError model_not_activated when it has none."""
    if folder is None:
        return []
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    pictures, left = [], _MOST_BYTES
    for path in found[:_MOST_PICTURES]:
        with contextlib.suppress(BadFrame, OSError):  # also what is no file: a pipe would be waited for
            pictures.append(decode.read_header(files.read_plain(path, min(_MOST_PICTURE_BYTES, left)), _MOST_PIXELS))
            left -= len(pictures[-1].data)
    if not pictures:
        raise ModelError(f"{folder} has no pictures (JPEG, PNG or WebP) that can be read", NOT_ACTIVATED)
    return pictures
