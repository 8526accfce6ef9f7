"""The benchmark profile of this device: what `appliance bench` measured, stored next to the models.

Rules of this file:
- The profile is not in the model's own folder, whose files are verified against a manifest.
- A profile of another machine, model or engine version has other costs and is ignored.
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

_MAX_BYTES = 1_000_000
_AGAIN = "Run again: appliance bench"


@dataclass(frozen=True, slots=True)
class Subject:
    """The machine, model and engine that were measured; the figures apply to no others."""

    machine: str
    model: str
    engine: str


@dataclass(frozen=True, slots=True)
class Rung:
    """The figures of one input size under full load, with as many frames in parallel as in the service."""

    side: int
    """The limit of the longest side, px: `flow.max_side`."""
    size: Size
    """The network's input for a 16:9 camera."""
    frame_ms: float
    """Median time from the bytes of a frame to its bounding boxes."""
    infer_ms: float
    """Median of the engine's part of `frame_ms`."""
    cpu_ms: float
    """CPU time of all threads for one frame."""
    fps: float
    added_bytes: int
    """Resident memory added by preparing this size; the first size includes the engine itself."""
    resident_bytes: int
    """Resident memory of the process with this size and the sizes measured before."""
    temp_c: float | None = None
    """Chip temperature at the end."""
    mhz: float | None = None
    throttled: bool | None = None
    """Whether the chip throttled during the measurement."""
    others_percent: float = 0.0
    """CPU time that other processes used during the measurement; without them the device is faster."""


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """All rungs of one model on one machine, largest first."""

    subject: Subject
    precision: str
    measured_at: str
    """ISO 8601, UTC."""
    rungs: tuple[Rung, ...]

    def cost(self, side: int) -> Rung | None:
        """The rung nearest to this side (px), the larger one of two equally near; None: no rungs."""
        return min(self.rungs, key=lambda rung: (abs(rung.side - side), -rung.side), default=None)


def subject_of(info: ModelInfo, root: Path = Path("/")) -> Subject:
    """The subject of a measurement on this machine with this model."""
    try:
        version = importlib.metadata.version(info.engine)
    except importlib.metadata.PackageNotFoundError:
        version = "unknown"
    precision = "" if info.precision == "auto" else f", {info.precision}"
    return Subject(machine_name(root), info.name, f"{info.engine} {version} on {info.device}{precision}")


def machine_name(root: Path = Path("/")) -> str:
    """The board, its processor if the kernel names it, and the number of usable CPUs."""
    count = usable_cpus(root)
    words = [board_name(root), processor(root), f"{count} CPU{'s' * (count != 1)}"]
    return ", ".join(word for word in words if word)


def path_in(models_dir: Path, model: str) -> Path:
    """The path of a model's profile."""
    return models_dir / f"profile-{Path(model).name}.json"


def read(path: Path, subject: Subject) -> DeviceProfile | None:
    """Read the profile if it belongs to this subject; otherwise log why not and return None."""
    try:
        profile = msgspec.json.decode(files.read_plain(path, _MAX_BYTES), type=DeviceProfile)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, ValueError, RecursionError) as error:
        log.warning("%s is unusable (%s). %s", path, error, _AGAIN)
        return None
    if not profile.rungs or not all(_plausible(rung) for rung in profile.rungs):
        log.warning("%s contains impossible figures. %s", path, _AGAIN)
        return None
    for name in Subject.__slots__:
        measured, current = getattr(profile.subject, name), getattr(subject, name)
        if measured != current:
            log.warning("%s is for another %s (%s, not %s). %s", path, name, measured, current, _AGAIN)
            return None
    return profile


def write(path: Path, profile: DeviceProfile) -> None:
    """Write the profile atomically. Raises OSError."""
    files.write(path, msgspec.json.format(msgspec.json.encode(profile), indent=1) + b"\n")


def _plausible(rung: Rung) -> bool:
    figures = (rung.frame_ms, rung.infer_ms, rung.cpu_ms, rung.fps)
    return rung.side > 0 and all(math.isfinite(figure) and 0 < figure < 1e6 for figure in figures)
