"""What the log says about single frames: those that failed, and those that took long."""

from __future__ import annotations

import logging

from appliance.errors import ApplianceError, BadFrame
from appliance.values import Failed, Frame, Timing

log = logging.getLogger(__name__)


def log_failed(frame: Frame, error: Exception, outcome: Failed) -> None:
    """Log why a frame failed. Only an error that nobody foresaw has a traceback."""
    fields = {"camera": frame.camera, "frame_id": frame.frame_id, "code": outcome.code, "reason": outcome.message}
    if isinstance(error, BadFrame):
        log.warning("camera %s sent an invalid frame: %s", frame.camera, error, extra={"kind": "bad_frame", **fields})
        return
    traced = None if isinstance(error, ApplianceError) else error
    log.error(
        "inference failed on a frame of camera %s: %s", frame.camera, error, exc_info=traced,
        extra={"kind": "engine", **fields},
    )  # fmt: skip


def log_slow(timing: Timing, slow_frame_s: float) -> None:
    """Log a frame that took longer than `slow_frame_s`."""
    if timing.total_ms > slow_frame_s * 1000:
        log.warning(
            "slow frame: %.1f s (waited %.0f ms, decode %.0f ms, inference %.0f ms)",
            timing.total_ms / 1000, timing.wait_ms, timing.decode_ms, timing.infer_ms, extra={"kind": "slow_frame"},
        )  # fmt: skip
