"""Zones and masks that were drawn on the page: kept in the state folder, next to those of the settings.

Rules of this file:
- The settings win: an area that they name cannot be drawn again under its name.
- A change is in force at once. It is on disk before the page hears of it, unless there is no usable state folder.
- A damaged file is renamed, and the areas are to be drawn again; the log says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from appliance import files
from appliance.control.page_requests import CameraAreas
from appliance.device import state
from appliance.device.state import StateFolder
from appliance.errors import CameraError
from appliance.settings.schema import Settings
from appliance.settings.schema.camera import encloses_area

NAME = "areas.json"
MOST_CAMERAS = 1000
_MOST_BYTES = 20_000_000


class SavedAreas(Struct, frozen=True, kw_only=True):
    """The content of the file."""

    version: int = 1
    cameras: tuple[CameraAreas, ...]


def load(folder: StateFolder | None) -> dict[str, CameraAreas]:
    """The areas of earlier runs, by camera."""

    def parse(content: bytes) -> dict[str, CameraAreas]:
        return {areas.name: areas for areas in msgspec.json.decode(content, type=SavedAreas).cameras}

    unread, damaged = "no drawn area is in force", ". Draw the areas again on the page"
    return (
        state.load(folder, NAME, _MOST_BYTES, parse, unread=unread, damaged=damaged, damage_level=logging.ERROR) or {}
    )


class DrawnAreas:
    """The drawn areas of all cameras. `on_change` is called when they have changed. `settings`: those in force.

    `known`: whether the device knows a camera.
    """

    def __init__(self, folder: StateFolder | None, settings: Settings, known: Callable[[str], bool]) -> None:
        self._path: Path | None = folder.path / NAME if folder is not None and folder.path is not None else None
        self.settings, self._known = settings, known
        self._areas = load(folder)
        self.on_change: Callable[[], None] = lambda: None

    @property
    def by_camera(self) -> Mapping[str, CameraAreas]:
        return self._areas

    async def keep(self, areas: CameraAreas) -> None:
        """Put the areas of a camera into force and keep them. Raises CameraError."""
        self._check(areas)
        changed = {name: one for name, one in self._areas.items() if name != areas.name}
        if areas.zones or areas.masks:
            changed[areas.name] = areas
        if self._path is not None:
            content = msgspec.json.encode(SavedAreas(cameras=tuple(changed.values())))
            try:
                await asyncio.get_running_loop().run_in_executor(None, files.write, self._path, content)
            except OSError as error:
                raise CameraError(f"cannot save the areas: {self._path}: {error.strerror}", "areas_unsaved") from None
        self._areas = changed
        self.on_change()

    def report(self, camera: str) -> dict[str, dict[str, object]]:
        """All zones and masks of a camera; `drawn`: on the page, and not in the settings."""
        settings, drawn = self.settings.cameras.get(camera), self._areas.get(camera)
        zones: dict[str, object] = {}
        masks: dict[str, object] = {}
        if drawn is not None:
            zones |= {name: {**msgspec.to_builtins(one), "drawn": True} for name, one in drawn.zones.items()}
            masks |= {name: {"points": points, "drawn": True} for name, points in drawn.masks.items()}
        if settings is not None:
            zones |= {name: {**msgspec.to_builtins(one), "drawn": False} for name, one in settings.zones.items()}
            masks |= {name: {**msgspec.to_builtins(one), "drawn": False} for name, one in settings.masks.items()}
        return {"zones": zones, "masks": masks}

    def _check(self, areas: CameraAreas) -> None:
        settings = self.settings.cameras.get(areas.name)
        if settings is None and not self._known(areas.name):
            raise CameraError(f"no camera is named '{areas.name[:64]}'")
        if len(self._areas) >= MOST_CAMERAS and areas.name not in self._areas:
            raise CameraError(f"areas are drawn for {MOST_CAMERAS} cameras already; remove some", "areas_invalid")
        outlines = {name: zone.points for name, zone in areas.zones.items()} | dict(areas.masks)
        for name, points in outlines.items():
            if not encloses_area(points):
                raise CameraError(f"'{name}' encloses no area: its corners are on one line", "areas_invalid")
        if settings is not None:
            taken = sorted((settings.zones.keys() & areas.zones.keys()) | (settings.masks.keys() & areas.masks.keys()))
            if taken:
                raise CameraError(
                    f"the settings name '{taken[0]}' already: choose another name, or change it in [cameras]",
                    "areas_invalid",
                )
