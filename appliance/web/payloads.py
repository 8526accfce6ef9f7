"""Convert values to the payloads of docs/wire.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from appliance.values import (
    CameraLimits,
    CameraStats,
    Detected,
    Detection,
    Failed,
    Frame,
    FrameId,
    GateStats,
    Outcome,
    Point,
    Receipt,
    Size,
    Skipped,
)
from appliance.web.payload_types import (
    ColumnsPayload,
    DetectionErrorPayload,
    DetectionPayload,
    LimitsPayload,
    PicturePayload,
    ReceiptPayload,
    ResultsPayload,
    SizePayload,
    SkippedPayload,
)

Payload: TypeAlias = dict[str, Any]
AnyPayload: TypeAlias = Mapping[str, Any]
"""One of `payload_types`, or one without a type of its own."""


def of_outcome(frame: Frame, outcome: Outcome) -> tuple[str, AnyPayload]:
    """The event for the outcome of a frame, and its payload."""
    if isinstance(outcome, Detected):
        return "detection_results", of_detected(frame, outcome)
    return of_refusal(frame.frame_id, outcome)


def of_refusal(frame_id: FrameId | None, outcome: Failed | Skipped) -> tuple[str, AnyPayload]:
    """The event for a frame without results, and its payload."""
    if isinstance(outcome, Failed):
        error: DetectionErrorPayload = {"error": outcome.message, "code": outcome.code, "frame_id": frame_id}
        return "detection_error", error
    skipped: SkippedPayload = {
        "frame_id": frame_id,
        "reason": outcome.reason.value,
        "retry_after": outcome.retry_after_s,
    }
    return "frame_skipped", skipped


def of_predicted(
    camera: str, frame_id: FrameId, captured_at: float | None, predicted: Detected, skipped: Skipped
) -> ResultsPayload:
    """What is predicted for a skipped frame, marked as such, and why it was skipped."""
    payload = _of_results(camera, frame_id, captured_at, predicted)
    payload["predicted"], payload["reason"] = True, skipped.reason.value
    payload["retry_after"] = skipped.retry_after_s
    return payload


def of_detected(frame: Frame, outcome: Detected) -> ResultsPayload:
    return _of_results(frame.camera, frame.frame_id, frame.captured_at, outcome)


def _of_results(camera: str, frame_id: FrameId, captured_at: float | None, outcome: Detected) -> ResultsPayload:
    timing = outcome.timing
    payload: ResultsPayload = {
        "detections": [of_detection(detection) for detection in outcome.detections],
        "processing_time": round(timing.total_ms / 1000, 4),
        "frame_id": frame_id,
        "camera": camera,
        "captured_at": captured_at,
        "cached": outcome.cached,
        "model": outcome.model,
        "image_size": of_size(outcome.image_size),
        "input_size": of_size(outcome.input_size),
        "timing": {
            "wait_ms": timing.wait_ms,
            "decode_ms": timing.decode_ms,
            "infer_ms": timing.infer_ms,
            "total_ms": timing.total_ms,
        },
    }
    if outcome.regions:
        payload["regions"] = [{"x1": box.x1, "y1": box.y1, "x2": box.x2, "y2": box.y2} for box in outcome.regions]
    return payload


def of_picture(frame: Frame, reason: str) -> PicturePayload:
    """A picture that was not processed, and the reason of the limits that forbid it."""
    return {
        "camera": frame.camera,
        "frame_id": frame.frame_id,
        "captured_at": frame.captured_at,
        "image_size": of_size(frame.picture.size),
        "reason": reason,
    }


def of_detection(detection: Detection) -> DetectionPayload:
    """The shape of Ultralytics' `Results.summary()`."""
    box = detection.box_px
    corners = detection.corners_px or ((box.x1, box.y1), (box.x2, box.y2))
    payload: DetectionPayload = {
        "name": detection.name,
        "class": detection.class_id,
        "confidence": round(detection.confidence, 5),
        "box": {
            f"{axis}{number}": round(value, 2)
            for number, corner in enumerate(corners, 1)
            for axis, value in zip("xy", corner, strict=True)
        },
    }
    if detection.outline_px is not None:
        payload["segments"] = _columns(detection.outline_px)
    if detection.keypoints_px is not None:
        payload["keypoints"] = {
            **_columns([(one.x, one.y) for one in detection.keypoints_px]),
            "visible": [round(one.seen, 5) for one in detection.keypoints_px],
        }
    if detection.zones is not None:
        payload["zones"] = list(detection.zones)
    if detection.age_s:
        payload["age"] = detection.age_s
    if detection.track is not None:
        payload["track_id"] = detection.track.track_id
        payload["stationary"] = detection.track.stationary
        payload["first_seen"] = round(detection.track.first_seen, 3)
    return payload


def _columns(points: Sequence[Point]) -> ColumnsPayload:
    return {"x": [round(x, 2) for x, _ in points], "y": [round(y, 2) for _, y in points]}


def of_size(size: Size) -> SizePayload:
    return {"width": size.width, "height": size.height}


def of_limits(limits: CameraLimits) -> LimitsPayload:
    return {
        "min_interval": limits.min_interval_s,
        "max_side": limits.max_side,
        "jpeg_quality": limits.jpeg_quality,
        "reason": limits.reason,
    }


def of_receipt(receipt: Receipt, limits: CameraLimits) -> ReceiptPayload:
    payload: ReceiptPayload = {"status": receipt.status, "limits": of_limits(limits)}
    if receipt.reason is not None:
        payload["reason"] = receipt.reason
    if receipt.retry_after_s is not None:
        payload["retry_after"] = receipt.retry_after_s
    return payload


def of_camera(stats: CameraStats) -> Payload:
    return {
        "received": stats.received,
        "answered": stats.answered,
        "cached": stats.cached,
        "failed": stats.failed,
        "skipped": stats.skipped,
        "received_fps": stats.received_fps,
        "answered_fps": stats.answered_fps,
        "latency_ms": stats.latency_ms,
        "picture_faults": [fault.value for fault in stats.picture_faults],
        "scene_gate": None if stats.gate is None else of_gate(stats.gate),
        "limits": of_limits(stats.limits),
    }


def of_gate(gate: GateStats) -> Payload:
    recall, at_least = gate.recall, gate.recall_at_least
    return {
        "held": gate.held,
        "audits": gate.audits,
        "missed": gate.missed,
        "recall": None if recall is None else round(recall, 4),
        "recall_at_least": None if at_least is None else round(at_least, 4),
        "tolerance": round(gate.tolerance, 3),
        "rests": gate.rests,
    }
