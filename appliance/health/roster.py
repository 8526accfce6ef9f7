"""The cameras that the device knows: each one that has sent a frame, until a person or time removes it.

Rules of this file:
- A camera stays known when it disconnects and across restarts, with the time of its last frame. At most MOST cameras
  are kept; a new one replaces the one that has been silent for the longest.
- Silence is judged by the camera's own rhythm, and from the start of the service at the earliest: cameras need time to
  come back.
- Cameras that the settings name are always expected; others once they have sent regularly.
- Within a run, times are monotonic. Dates are computed when they are asked for, so that they are right after the clock
  has been set.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from appliance import camera_names
from appliance.errors import CameraError, did_you_mean
from appliance.health.rhythm import LEAST_S, Rhythm

MOST = 1000
_SETTLED_S = 3600.0
"""Nothing is forgotten before: the clock of a board without a battery may first be wrong."""
_PLAUSIBLE_S = 1_600_000_000.0
"""Earlier dates (before September 2020) were written before the clock was set."""

CameraPresence: TypeAlias = Literal["sending", "quiet", "silent"]
"""`silent`: for longer than usual, and expected. `quiet`: not sending, which is usual for it or was never usual."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A camera as the service sees it now: when its last frame came (monotonic)."""

    name: str
    last_s: float
    sending: bool


@dataclass(frozen=True, slots=True)
class KnownCamera:
    """What is known about a camera, for reports. Dates are seconds since 1970; None: it never sent a frame."""

    presence: CameraPresence
    first_at_s: float | None
    last_at_s: float | None
    silent_s: float
    """Since its last frame, or the start of the service if it never sent one."""
    silent_after_s: float | None
    """The silence that is reported; None: the camera is not expected to send."""
    configured: bool
    label: str = ""
    """What people call it; empty: its name."""


@dataclass(frozen=True, slots=True)
class Absence:
    """The cameras that are silent, with the time since their last frame, s. `all_gone`: no expected camera sends."""

    silent_s: Mapping[str, float] = field(default_factory=dict)
    all_gone: bool = False


@dataclass(slots=True)
class RosterEntry:
    """One camera. `first_at_s`, `last_at_s`: seconds since 1970, as of the last save; `last_s`: in this run."""

    first_at_s: float
    last_at_s: float
    rhythm: Rhythm = field(default_factory=Rhythm)
    last_s: float | None = None
    label: str = ""


class Roster:
    """All known cameras. `note` once a second; the event loop alone uses it."""

    def __init__(self, entries: Mapping[str, RosterEntry], *, now_s: float, forget_after_s: float) -> None:
        self.forget_after_s = forget_after_s
        self._entries = dict(entries)
        self._configured: frozenset[str] = frozenset()
        self._sending: frozenset[str] = frozenset()
        self._begun_s = now_s
        self.absence = Absence()
        """Which cameras are silent for longer than usual, as of the last `note`."""
        self.changes = 0
        """Grows whenever a camera comes or goes."""

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def note(self, seen: Iterable[Sighting], configured: Collection[str], now_s: float, wall_s: float) -> None:
        """Add what the service sees now. `wall_s`: the same moment in seconds since 1970."""
        self._configured = frozenset(configured)
        sending = set()
        for camera in seen:
            if camera.sending:
                sending.add(camera.name)
            entry = self._entries.get(camera.name) or self._enter(camera.name, now_s, wall_s)
            if entry.last_s is None or camera.last_s > entry.last_s:
                if entry.last_s is not None:
                    entry.rhythm.note(camera.last_s - entry.last_s)
                entry.last_s = camera.last_s
        self._sending = frozenset(sending)
        if now_s - self._begun_s >= _SETTLED_S:
            for name in [name for name in self._entries if self._silent_s(name, now_s, wall_s) > self.forget_after_s]:
                self.forget(name)
        self.absence = self._absence(now_s, wall_s)

    def forget(self, name: str) -> bool:
        """Remove a camera; False: it is not known. One that sends again is known again."""
        if self._entries.pop(name, None) is None:
            return False
        self.changes += 1
        return True

    def remove(self, name: str) -> None:
        """Remove a camera for a person. Raises CameraError if it is unknown, configured, or still sends."""
        if name not in self._entries and name not in self._configured:
            advice = did_you_mean(name, self._entries) or ". To see all: appliance cameras list"
            raise CameraError(f"no camera is named '{name}'{advice}")
        if name in self._configured:
            raise CameraError(
                f"the settings name the camera '{name}': remove its section [cameras] first, and reload the service",
                "camera_configured",
            )
        if self.sends(name):
            raise CameraError(f"the camera '{name}' is sending; switch it off first", "camera_sending")
        self.forget(name)

    def relabel(self, name: str, label: str) -> str:
        """Keep what people call a camera, in the form of a name; empty: its name. Returns what was kept.

        Raises CameraError if the camera has never sent a frame, or the label is no valid name.
        """
        if name not in self._entries:
            raise CameraError(f"no camera named '{name}' has sent a frame{did_you_mean(name, self._entries)}")
        kept = camera_names.normal(label) if label else ""
        if kept is None:
            raise CameraError(f"invalid label: {camera_names.RULE}", "label_invalid")
        self._entries[name].label = kept
        self.changes += 1
        return kept

    def sends(self, name: str) -> bool:
        """Whether this camera is sending now."""
        return name in self._sending

    def report(self, now_s: float, wall_s: float) -> dict[str, KnownCamera]:
        """Every known or configured camera by name."""
        expected, silent = self._expected(), self.absence.silent_s
        cameras = {}
        for name in dict.fromkeys((*self._entries, *sorted(self._configured))):
            entry = self._entries.get(name)
            presence: CameraPresence = "silent" if name in silent else "sending" if self.sends(name) else "quiet"
            cameras[name] = KnownCamera(
                presence=presence,
                first_at_s=entry.first_at_s if entry else None,
                last_at_s=self._last_at_s(entry, now_s, wall_s) if entry else None,
                silent_s=self._silent_s(name, now_s, wall_s),
                silent_after_s=expected.get(name),
                configured=name in self._configured,
                label=entry.label if entry else "",
            )
        return cameras

    def entries(self, now_s: float, wall_s: float) -> dict[str, RosterEntry]:
        """What to save: copies with the dates as of now."""
        return {
            name: RosterEntry(entry.first_at_s, self._last_at_s(entry, now_s, wall_s), entry.rhythm, label=entry.label)
            for name, entry in self._entries.items()
        }

    def _absence(self, now_s: float, wall_s: float) -> Absence:
        expected = self._expected()
        silent = {
            name: self._silent_s(name, now_s, wall_s)
            for name, after_s in expected.items()
            if self._missing_s(name, now_s) >= after_s
        }
        ever_sent = any(name in self._entries for name in silent)
        gone = ever_sent and len(silent) == len(expected) and not self._sending
        return Absence(silent, gone)

    def _enter(self, name: str, now_s: float, wall_s: float) -> RosterEntry:
        if len(self._entries) >= MOST:
            self.forget(max(self._entries, key=lambda other: self._silent_s(other, now_s, wall_s)))
        self.changes += 1
        entry = self._entries[name] = RosterEntry(wall_s, wall_s)
        return entry

    def _expected(self) -> dict[str, float]:
        """The cameras that should send, and the silence that is reported."""
        expected = dict.fromkeys(self._configured, LEAST_S)
        for name, entry in self._entries.items():
            if name in self._configured or entry.rhythm.regular:
                expected[name] = entry.rhythm.silent_after_s
        return expected

    def _missing_s(self, name: str, now_s: float) -> float:
        """For how long a camera has been silent in this run."""
        entry = self._entries.get(name)
        return now_s - (self._begun_s if entry is None or entry.last_s is None else entry.last_s)

    def _silent_s(self, name: str, now_s: float, wall_s: float) -> float:
        entry = self._entries.get(name)
        if entry is None or entry.last_s is not None or entry.last_at_s < _PLAUSIBLE_S:
            return self._missing_s(name, now_s)
        return max(self._missing_s(name, now_s), wall_s - entry.last_at_s)

    def _last_at_s(self, entry: RosterEntry, now_s: float, wall_s: float) -> float:
        return entry.last_at_s if entry.last_s is None else wall_s - (now_s - entry.last_s)
