"""What this box can do, as `appliance bench` measured it: kept beside the models, and only believed where it was made.

Rules of this file:
- It is not in the model's own folder, whose files are held against a manifest.
- Another machine, model or version of the engine costs something else: such a profile counts as none.
"""

from __future__ import annotations

import importlib.metadata
import logging
import math
from dataclasses import dataclass
from pathlib import Path

import msgspec

from appliance import files
from appliance.device.board import board_name, processor
from appliance.device.cpus import usable_cpus
from appliance.values import ModelInfo, Size

log = logging.getLogger(__name__)

_MOST_BYTES = 1_000_000
_AGAIN = "run `appliance bench` again"


@dataclass(frozen=True, slots=True)
class Subject:
    """What was measured; the figures hold for nothing else."""

    machine: str
    model: str
    engine: str


@dataclass(frozen=True, slots=True)
class Rung:
    """One input size of one model under full load, as many frames side by side as the service has."""

    side: int
    """The longest side that was allowed, px: `flow.max_side`."""
    size: Size
    """The network's input for a 16:9 camera."""
    frame_ms: float
    """Median, from a frame's bytes to its boxes."""
    infer_ms: float
    """Median of the engine's part of it."""
    cpu_ms: float
    """Processor time of all threads for a frame."""
    fps: float
    added_bytes: int
    """Resident memory that making this size ready added; the first one brings the engine itself with it."""
    resident_bytes: int
    """The whole process with this size and those measured before it."""
    temp_c: float | None = None
    """When it was done."""
    mhz: float | None = None
    throttled: bool | None = None
    """Whether the chip slowed itself down meanwhile."""
    others_percent: float = 0.0
    """Part of the machine's CPU time that other processes took meanwhile: alone, the box does more."""


@dataclass(frozen=True, slots=True)
class Profile:
    """All rungs of one model on one machine, largest first."""

    subject: Subject
    precision: str
    measured_at: str
    """ISO 8601, UTC."""
    rungs: tuple[Rung, ...]

    def cost(self, side: int) -> Rung | None:
        """The rung nearest to this side (px); the larger of two that are equally near. None: nothing was measured."""
        return min(self.rungs, key=lambda rung: (abs(rung.side - side), -rung.side), default=None)


def subject_of(info: ModelInfo, root: Path = Path("/")) -> Subject:
    """What would be measured here and now with this model."""
    try:
        version = importlib.metadata.version(info.engine)
    except importlib.metadata.PackageNotFoundError:
        version = "unknown"
    asked = "" if info.precision == "auto" else f", {info.precision}"
    return Subject(machine_name(root), info.name, f"{info.engine} {version} on {info.device}{asked}")


def machine_name(root: Path = Path("/")) -> str:
    """The board, its processor as far as the kernel names it, and how many CPUs we may use."""
    count = usable_cpus(root)
    words = [board_name(root), processor(root), f"{count} CPU{'s' * (count != 1)}"]
    return ", ".join(word for word in words if word)


def path_in(models_dir: Path, model: str) -> Path:
    """Where the profile of a model lies."""
    return models_dir / f"profile-{Path(model).name}.json"


def read(path: Path, subject: Subject) -> Profile | None:
    """The profile in this file if it is one of this subject; else None, and a line in the log that says why."""
    try:
        profile = msgspec.json.decode(files.read_plain(path, _MOST_BYTES), type=Profile)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, ValueError, RecursionError) as error:
        log.warning("%s cannot be used (%s); %s", path, error, _AGAIN)
        return None
    if not profile.rungs or not all(_plausible(rung) for rung in profile.rungs):
        log.warning("%s holds no figures that can be; %s", path, _AGAIN)
        return None
    for name in Subject.__slots__:
        there, here = getattr(profile.subject, name), getattr(subject, name)
        if there != here:
            log.warning("%s was measured with another %s (%s; here: %s); %s", path, name, there, here, _AGAIN)
            return None
    return profile


def write(path: Path, profile: Profile) -> None:
    """Put the profile there, whole or not at all. Raises OSError."""
    files.write(path, msgspec.json.format(msgspec.json.encode(profile), indent=1) + b"\n")


def _plausible(rung: Rung) -> bool:
    figures = (rung.frame_ms, rung.infer_ms, rung.cpu_ms, rung.fps)
    return rung.side > 0 and all(math.isfinite(figure) and 0 < figure < 1e6 for figure in figures)
