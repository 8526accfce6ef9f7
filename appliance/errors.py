"""Errors with a stable `code` that clients can match on.

Each error is raised where it is found and translated to an event or a status in `web/` alone. A technician reads the
texts: they say what is wrong and, where possible, what to do about it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class ApplianceError(Exception):
    """Root of all errors that mean something outside the process."""

    code = "internal"

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class BadFrame(ApplianceError):
    """The sender's fault: the frame is invalid. Nothing else is affected.

    Codes: frame_type, frame_empty, frame_too_large, base64_invalid, image_unsupported, image_corrupt,
    image_too_large, unknown_field, option_invalid; over HTTP also name_invalid, too_many_cameras.
    """

    code = "image_corrupt"


class Refused(ApplianceError):
    """A valid frame that is not accepted: unauthorized, shutting_down, overloaded."""

    code = "unauthorized"


class ModelError(ApplianceError):
    """A model cannot be used or made.

    Using one: model_missing, model_corrupt, model_unsupported, model_fetch_failed. Activating one: model_not_activated,
    activation_busy, memory_short. Measuring one: benchmark_busy, benchmark_mixed. Exporting weights:
    export_failed. Quantizing: model_accuracy, not_faster, quantize_failed, calibration_pictures, calibration_labels.
    """

    code = "model_missing"


class EngineError(ApplianceError):
    """The engine cannot run the model here: engine_failed, engine_device_missing."""

    code = "engine_failed"


class NotBuilt(EngineError):
    """The engine must first be built for this device: engine_not_built.

    `build`: the command that builds it, which takes minutes; None: this device cannot build it. `marker`: the file in
    which the build notes that it has started. The caller removes it when the build ends; one that is left behind means
    that the build took the caller down with it.
    """

    code = "engine_not_built"

    def __init__(self, message: str, build: tuple[str, ...] | None, marker: Path | None = None) -> None:
        super().__init__(message)
        self.build, self.marker = build, marker


class ConfigError(ApplianceError):
    """The configuration is invalid: config_invalid. The text names the file, the key and what is expected.

    Cameras get safe_mode until it is fixed.
    """

    code = "config_invalid"


class CameraError(ApplianceError):
    """Nothing can be done with this camera.

    Codes: camera_unknown, camera_sending, camera_configured, label_invalid, areas_invalid, areas_unsaved.
    """

    code = "camera_unknown"


class PortError(ApplianceError):
    """The service cannot listen on the configured address."""

    code = "port_unavailable"


class SourceError(ApplianceError):
    """A camera's source cannot be opened or has disappeared: source_missing, source_empty, source_unreadable,
    source_unauthorized, camera_extra_missing, picamera_missing, picamera_failed."""

    code = "source_unreadable"


def last_line(error: BaseException) -> str:
    """The last line of an error's text, where native libraries put the reason; its type if it has no text."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The end of a sentence about an unknown word: "; did you mean 'x'?", or "" if no known word is similar.

    `cutoff`: the least similarity, 0-1.
    """
    nearest = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f"; did you mean '{nearest[0]}'?" if nearest else ""
