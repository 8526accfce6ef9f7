"""Checks of what cameras show; `flow/picture_watch.py` judges it."""

from __future__ import annotations

import functools
from collections.abc import Callable

from appliance.health.facts import Facts
from appliance.health.finding import Severity
from appliance.health.findings import Advice, Examine, advise
from appliance.values import PictureFault


def _of(fault: PictureFault) -> Callable[[Callable[[tuple[str, ...]], Advice]], Examine]:
    """Make a check of a function that takes the cameras whose pictures have this fault, of which there are some."""

    def decorate(advice_for: Callable[[tuple[str, ...]], Advice]) -> Examine:
        @functools.wraps(advice_for)
        def examine(facts: Facts) -> Advice | None:
            cameras = tuple(sorted(name for name, faults in facts.picture_faults.items() if fault in faults))
            return advice_for(cameras) if cameras else None

        return examine

    return decorate


@_of(PictureFault.COVERED)
def camera_covered(cameras: tuple[str, ...]) -> Advice:
    return advise(
        Severity.DEGRADED,
        "Covered: {cameras}. The picture has lost its view.",
        "Look at the camera: remove tape, paint, a bag or leaves, and clean the glass.",
        cameras=cameras,
    )


@_of(PictureFault.TURNED)
def camera_turned(cameras: tuple[str, ...]) -> Advice:
    return advise(
        Severity.DEGRADED,
        "Turned away: {cameras}. The view is not the usual one.",
        "Aim the camera again and tighten its mount. If the new view is intended, wait a day or restart the service.",
        cameras=cameras,
    )


@_of(PictureFault.BLURRED)
def camera_blurred(cameras: tuple[str, ...]) -> Advice:
    return advise(
        Severity.DEGRADED,
        "Out of focus: {cameras}.",
        "Clean the glass (dirt, water, a cobweb). If that does not help, focus the lens.",
        cameras=cameras,
    )


@_of(PictureFault.DARK)
def camera_dark(cameras: tuple[str, ...]) -> Advice:
    return advise(
        Severity.DEGRADED,
        "Too dark to see anything: {cameras}.",
        "Check whether something covers the lens, and the lamps or the camera's infrared light.",
        cameras=cameras,
    )


@_of(PictureFault.OVEREXPOSED)
def camera_overexposed(cameras: tuple[str, ...]) -> Advice:
    return advise(
        Severity.DEGRADED,
        "Overexposed: {cameras}. Most of the picture is white.",
        "Look for a lamp or the sun in the lens, or infrared light that a near object reflects. Check the exposure.",
        cameras=cameras,
    )


@_of(PictureFault.FROZEN)
def camera_frozen(cameras: tuple[str, ...]) -> Advice:
    return advise(
        Severity.DEGRADED,
        "Frozen: {cameras} sends the same picture again and again.",
        "Restart the camera. If this comes back, update its firmware.",
        cameras=cameras,
    )


@_of(PictureFault.TORN)
def camera_torn(cameras: tuple[str, ...]) -> Advice:
    return advise(
        Severity.DEGRADED,
        "Torn or rolling pictures: {cameras}.",
        "Check cable and network to the camera for losses. For an RTSP camera, set camera.rtsp_transport to tcp.",
        cameras=cameras,
    )
