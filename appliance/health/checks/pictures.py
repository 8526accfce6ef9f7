"""Checks of what cameras show; `flow/picture_watch.py` judges it."""

from __future__ import annotations

from appliance.health.facts import Facts
from appliance.health.findings import Advice, advise
from appliance.values import PictureFault, Severity


def _cameras(facts: Facts, fault: PictureFault) -> tuple[str, ...]:
    return tuple(sorted(name for name, faults in facts.picture_faults.items() if fault in faults))


def camera_covered(facts: Facts) -> Advice | None:
    cameras = _cameras(facts, PictureFault.COVERED)
    if not cameras:
        return None
    return advise(
        Severity.DEGRADED,
        "Covered: {cameras}. The picture has lost its view.",
        "Look at the camera: remove tape, paint, a bag or leaves, and clean the glass.",
        cameras=cameras,
    )


def camera_turned(facts: Facts) -> Advice | None:
    cameras = _cameras(facts, PictureFault.TURNED)
    if not cameras:
        return None
    return advise(
        Severity.DEGRADED,
        "Turned away: {cameras}. The view is not the usual one.",
        "Aim the camera again and tighten its mount. If the new view is intended, wait a day or restart the service.",
        cameras=cameras,
    )


def camera_blurred(facts: Facts) -> Advice | None:
    cameras = _cameras(facts, PictureFault.BLURRED)
    if not cameras:
        return None
    return advise(
        Severity.DEGRADED,
        "Out of focus: {cameras}.",
        "Clean the glass (dirt, water, a cobweb). If that does not help, focus the lens.",
        cameras=cameras,
    )


def camera_dark(facts: Facts) -> Advice | None:
    cameras = _cameras(facts, PictureFault.DARK)
    if not cameras:
        return None
    return advise(
        Severity.DEGRADED,
        "Too dark to see anything: {cameras}.",
        "Check whether something covers the lens, and the lamps or the camera's infrared light.",
        cameras=cameras,
    )


def camera_overexposed(facts: Facts) -> Advice | None:
    cameras = _cameras(facts, PictureFault.OVEREXPOSED)
    if not cameras:
        return None
    return advise(
        Severity.DEGRADED,
        "Overexposed: {cameras}. Most of the picture is white.",
        "Look for a lamp or the sun in the lens, or infrared light that a near object reflects. Check the exposure.",
        cameras=cameras,
    )


def camera_frozen(facts: Facts) -> Advice | None:
    cameras = _cameras(facts, PictureFault.FROZEN)
    if not cameras:
        return None
    return advise(
        Severity.DEGRADED,
        "Frozen: {cameras} sends the same picture again and again.",
        "Restart the camera. If this comes back, update its firmware.",
        cameras=cameras,
    )


def camera_torn(facts: Facts) -> Advice | None:
    cameras = _cameras(facts, PictureFault.TORN)
    if not cameras:
        return None
    return advise(
        Severity.DEGRADED,
        "Torn or rolling pictures: {cameras}.",
        "Check cable and network to the camera for losses. For an RTSP camera, set camera.rtsp_transport to tcp.",
        cameras=cameras,
    )
