"""The verb that keeps the zones and masks of a camera as they were drawn on the page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from appliance.control.page_requests import CameraAreas
from appliance.control.verbs import Verb

KeepAreas = Callable[[CameraAreas], Awaitable[None]]
"""Puts areas into force and keeps them. Raises CameraError."""


def verbs(keep: KeepAreas) -> Mapping[str, Verb]:
    """`draw_areas`."""

    async def draw(request: CameraAreas) -> CameraAreas:
        await keep(request)
        return request

    return {"draw_areas": Verb(draw, "camera_areas", CameraAreas, lambda request: {"camera": request.name})}
