"""The known cameras on disk: one JSON file, replaced as a whole.

Rules of this file:
- It is written a minute after a camera has come or gone, otherwise every ten minutes, and when the service stops: 64
  cameras are about 30 kB. A power cut loses no camera that was known for a minute.
- A damaged file is renamed, and the roster starts empty. A file that cannot be written is tried again; the finding
  about the history says what is wrong with the folder.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import msgspec
from msgspec import Struct

from appliance import camera_names, files
from appliance.device import state
from appliance.device.state import StateFolder
from appliance.health.rhythm import Rhythm
from appliance.health.roster import Roster, RosterEntry
from appliance.ports import Clock

log = logging.getLogger(__name__)

NAME = "cameras.json"
_MOST_BYTES = 4_000_000
_TICK_S = 60.0
_EVERY = 10
"""Ticks between two saves while no camera comes or goes."""
_GOODBYE_S = 2.0


class SavedRoster(Struct, frozen=True, kw_only=True):
    """The content of the file."""

    version: int = 1
    cameras: dict[str, RosterEntry]


def load(folder: StateFolder | None) -> dict[str, RosterEntry]:
    """The cameras of earlier runs. Renames a damaged file and logs that."""
    lost = "no camera is known"
    return state.load(folder, NAME, _MOST_BYTES, read, unread=lost, damaged=f", and {lost}") or {}


def read(content: bytes) -> dict[str, RosterEntry]:
    """Parse the file's content. Raises MsgspecError or ValueError if it is damaged."""
    saved = msgspec.json.decode(content, type=SavedRoster)
    for name, entry in saved.cameras.items():
        plain = name.removeprefix(camera_names.HTTP_PREFIX)
        if camera_names.normal(plain) != plain:
            raise ValueError(f"invalid camera name {name[:64]!r}")
        if len(entry.rhythm.spent_s) != len(Rhythm().spent_s):
            raise ValueError(f"invalid rhythm of {name!r}")
        entry.last_s = None
    return saved.cameras


def save(path: Path, cameras: Mapping[str, RosterEntry]) -> None:
    """Write the file. Raises OSError."""
    files.write(path, msgspec.json.encode(SavedRoster(cameras=dict(cameras))))


class RosterKeeper:
    """Saves the roster while the service runs. Without a usable folder, it does nothing."""

    def __init__(self, roster: Roster, folder: StateFolder | None, *, clock: Clock, wall_clock: Clock) -> None:
        self._roster, self._clock, self._wall_clock = roster, clock, wall_clock
        self._path = folder.path / NAME if folder is not None and folder.path is not None else None
        self._saved_changes, self._ticks = roster.changes, 0

    async def run(self) -> None:
        """Run until cancelled; saves once more before it returns."""
        disk = ThreadPoolExecutor(1, thread_name_prefix="cameras")
        try:
            while True:
                await asyncio.sleep(_TICK_S)
                self._ticks += 1
                if self._roster.changes != self._saved_changes or self._ticks >= _EVERY:
                    await self.save(disk)
        finally:
            with anyio.move_on_after(_GOODBYE_S, shield=True):
                await self.save(disk)
            disk.shutdown(wait=False)

    async def save(self, disk: ThreadPoolExecutor) -> None:
        """Write the file in a thread. A failed write is logged and does not raise."""
        if self._path is None:
            return
        changes, entries = self._roster.changes, self._roster.entries(self._clock(), self._wall_clock())
        try:
            await asyncio.get_running_loop().run_in_executor(disk, save, self._path, entries)
        except OSError as error:
            log.warning("cannot save the known cameras: %s: %s", self._path, error.strerror, extra={"kind": "roster"})
            return
        self._saved_changes, self._ticks = changes, 0
