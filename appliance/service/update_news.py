"""What the service knows about updates: it reads what the updater has left, and asks for an update."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from appliance import __version__, files
from appliance.health.facts import Cause, UpdateNotices
from appliance.settings.schema.update import UpdateSettings
from appliance.update import guard_state, last_check
from appliance.update.guard_state import GuardState
from appliance.update.last_check import LastCheck
from appliance.update.places import FAULTS, UNREACHABLE, UpdateError, UpdatePlaces
from appliance.vitals.snapshot import UpdateView

_EVERY_S = 30.0
_DAY_S = 86_400.0
REQUEST = "update-requested"
"""The file in the state folder that `appliance-update-request.path` waits for."""
UNIT = Path("usr/lib/systemd/system/appliance-update-request.path")


@dataclass(frozen=True, slots=True)
class _Found:
    state: GuardState
    check: LastCheck
    install: LastCheck
    has_root: bool


class UpdateNews:
    """`state`: the service's folder; `wall_clock`: seconds since 1970."""

    def __init__(
        self, settings: UpdateSettings, state: Path, wall_clock: Callable[[], float], places: UpdatePlaces
    ) -> None:
        self._settings, self._state, self._wall_clock, self._places = settings, state, wall_clock, places
        self._found = _Found(GuardState(), LastCheck(), LastCheck(), True)

    async def run(self) -> None:
        """Read again from time to time; the disk may be slow."""
        while True:
            self._found = await asyncio.get_running_loop().run_in_executor(None, self._read)
            await asyncio.sleep(_EVERY_S)

    def _read(self) -> _Found:
        places = self._places
        check, install = last_check.read(places.last_check), last_check.read(places.last_install)
        return _Found(guard_state.read(places.state), check, install, places.root_key.exists())

    def notices(self) -> UpdateNotices:
        """For the findings."""
        found, offer = self._found, self._found.check.offer
        watched = bool(self._settings.source)
        return UpdateNotices(
            available=offer.version if offer and found.check.for_this_device and self._newer else "",
            newest_age_days=(self._wall_clock() - offer.signed_s) / _DAY_S if offer and watched else None,
            never_reached=found.check.problem if watched and offer is None and found.check.code == UNREACHABLE else "",
            undone=found.state.undone,
            why=found.state.why,
            undone_by_a_person=found.state.undone_by_a_person,
            no_root=watched and not found.has_root,
            refused=next(
                (Cause(known.code, known.problem) for known in (found.install, found.check) if self._counts(known)),
                None,
            ),
        )

    def view(self) -> UpdateView | None:
        """For Home Assistant; None: this service is not installed."""
        if not self.possible:
            return None
        offer = self._found.check.offer
        newer = offer is not None and self._found.check.for_this_device and self._newer
        return UpdateView(
            installed=__version__,
            latest=offer.version if offer and newer else __version__,
            notes=offer.notes if offer and newer else "",
            on_trial=self._found.state.on_trial,
        )

    @property
    def _newer(self) -> bool:
        """Whether the offered release is not the one in use or on trial since the last check."""
        offer, state = self._found.check.offer, self._found.state
        return offer is not None and offer.name not in (state.committed, state.trying, state.undone)

    def _counts(self, known: LastCheck) -> bool:
        """Without a source no later attempt would replace a person's: it counts for a day."""
        recent = 0 <= self._wall_clock() - known.checked_s < _DAY_S  # a wrong clock may have been the reason
        return known.code in FAULTS and (bool(self._settings.source) or recent)

    @property
    def possible(self) -> bool:
        return (self._places.root / UNIT).exists()

    def request(self) -> None:
        """Have the available release installed. Raises UpdateError."""
        if not self.possible:
            raise UpdateError("this service is not installed, so it cannot update itself", "update_failed")
        try:
            files.write(self._state / REQUEST, b"install\n", 0o600)
        except OSError as error:
            raise UpdateError(f"cannot write to {self._state}: {error.strerror}", "update_failed") from None
