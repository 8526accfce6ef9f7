"""Errors with a stable `code` that clients can match on.

Each is raised where it is found and translated to an event or a status in `web/` alone. The texts are read by a
technician: they say what is wrong, and what to do where that can be known.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class ApplianceError(Exception):
    """Root of all errors that have a meaning outside the process."""

    code = "internal"

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class BadFrame(ApplianceError):
    """The sender's fault: the frame cannot be used. Nothing else is affected.

    Codes: frame_type, frame_empty, frame_too_large, base64_invalid, image_unsupported, image_corrupt,
    image_too_large, unknown_field, option_invalid.
    """

    code = "image_corrupt"


class Refused(ApplianceError):
    """The frame is fine but must not or cannot be taken: unauthorized, shutting_down, overloaded."""

    code = "unauthorized"


class ModelError(ApplianceError):
    """No usable model: model_missing, model_corrupt, model_unsupported, model_fetch_failed; or no INT8 one to be made:
    model_accuracy, quantize_failed, calibration_pictures, calibration_labels; or not to be taken into use:
    model_not_activated, activation_busy, memory_short; or no bundle to be made of weights: export_failed."""

    code = "model_missing"


class EngineError(ApplianceError):
    """The engine cannot run the model here: engine_failed, engine_device_missing."""

    code = "engine_failed"


class NotBuilt(EngineError):
    """The engine runs the model once it has been built for this very box: engine_not_built.

    `build`: a program and its arguments that build it, minutes long; None: nothing here can. `begun`: the file in which
    it notes that it has begun; who ran it, and is still there at its end, removes that.
    """

    code = "engine_not_built"

    def __init__(self, message: str, build: tuple[str, ...] | None, begun: Path | None = None) -> None:
        super().__init__(message)
        self.build, self.begun = build, begun


class ConfigError(ApplianceError):
    """The configuration is wrong: config_invalid; the text names the file, the key and what was expected. To cameras,
    while the box waits for it to be mended: safe_mode."""

    code = "config_invalid"


class PortError(ApplianceError):
    """The service cannot listen where it should."""

    code = "port_unavailable"


class SourceError(ApplianceError):
    """A camera's source cannot be opened or has gone: source_missing, source_empty, source_unreadable,
    source_unauthorized, camera_extra_missing, picamera_missing, picamera_failed."""

    code = "source_unreadable"


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The end of a sentence about an unknown word: "; did you mean 'x'?", or nothing when none is near.

    `cutoff`: how alike they must be, 0-1.
    """
    nearest = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f"; did you mean '{nearest[0]}'?" if nearest else ""
