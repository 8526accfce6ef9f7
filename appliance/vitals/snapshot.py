"""The state of the device at one moment, as values: the same for the page, the metrics, and every other reader.

`web/` formats it as JSON and Prometheus metrics, `service/pulse.py` as the line that `systemctl status` shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from appliance.flow.tally import Tally
from appliance.health.facts import CanaryState
from appliance.health.finding import Finding
from appliance.health.findings import status_of
from appliance.health.roster import KnownCamera
from appliance.readings import Board, Reading
from appliance.tls.server import TlsState
from appliance.values import CameraStats, Limits, ModelInfo, Size


@dataclass(frozen=True, slots=True)
class Delivery:
    """How results reach clients: open connections, and events that slow clients never received."""

    connections: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class ServiceState:
    """This process: for how long it has run, and how often it was restarted since the machine was switched on."""

    uptime_s: float
    restarts: int | None
    """None: unknown."""


@dataclass(frozen=True, slots=True)
class EngineState:
    """The model in use and the work in front of it."""

    model: ModelInfo | None
    """None: no model is loaded."""
    precision: str | None
    """What the engine really computes in."""
    sizes: tuple[Size | None, ...]
    """Input sizes that are compiled; None: any size."""
    infer_ms: float | None
    capacity_fps: float | None
    in_flight: int
    waiting: int
    failures: int
    """In a row."""
    still_s: float
    """For how long frames have been in flight and none has returned, s."""


@dataclass(frozen=True, slots=True)
class GovernorState:
    """How far the device is throttled, and why."""

    cooling: int
    max_cooling: int
    time_in_state_s: float
    transitions: int
    held_for_s: float | None
    target_c: float | None
    limits: Limits


@dataclass(frozen=True, slots=True)
class UpdateView:
    """The version in use and the one that could be installed, for other systems."""

    installed: str
    latest: str
    notes: str = ""
    on_trial: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The device at one moment. `at_s` is monotonic, `wall_s` the same moment in seconds since 1970."""

    at_s: float
    wall_s: float
    findings: tuple[Finding, ...]
    ready: bool
    service: ServiceState
    board: Board
    reading: Reading
    governor: GovernorState
    engine: EngineState
    canary: CanaryState
    tally: Tally
    """All cameras' frames since the start, including cameras that have left."""
    cameras: Mapping[str, CameraStats]
    known_cameras: Mapping[str, KnownCamera]
    """Also cameras that have gone."""
    cached_answers: int
    delivery: Delivery
    tls: TlsState | None
    """None: no HTTPS."""
    update: UpdateView | None = None
    """None: this service is not installed."""

    @property
    def status(self) -> str:
        """`ok`, `degraded` or `critical`: the worst finding's severity."""
        return status_of(self.findings)
