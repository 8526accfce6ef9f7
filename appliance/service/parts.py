"""What the service is built from, and what it consists of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from appliance.control.state import StateReport
from appliance.device.log_tail import LogTail
from appliance.device.state import StateFolder
from appliance.errors import ConfigError, EngineError, ModelError
from appliance.events.feed import EventFeed
from appliance.flow.activation import Activation
from appliance.flow.calibration_frames import CalibrationFrames
from appliance.flow.cameras import CameraBook
from appliance.flow.detector import Detector
from appliance.flow.inference import Network
from appliance.flow.pace import Pace
from appliance.flow.rebuild import Rebuild
from appliance.governor.service import Governor
from appliance.health.canary import Canary
from appliance.health.roster_file import RosterKeeper
from appliance.health.watch import Watch
from appliance.identity.audit import Audit
from appliance.links.links import Links
from appliance.ports import Clock
from appliance.service.changes import Changes
from appliance.service.encryption import Encryption
from appliance.service.entrance import Entrance
from appliance.service.reload import Reload
from appliance.service.site import Site
from appliance.service.spare import Spare
from appliance.service.update_news import UpdateNews
from appliance.settings.schema import Settings
from appliance.vision.admission import Admission
from appliance.vision.decoder import Decoder, OwnThread
from appliance.vitals.collect import Vitals
from appliance.web.connections import Connections
from appliance.web.ingress.limiter import ConnectionLimiter
from appliance.web.publisher import Publisher
from appliance.web.transport import Transport

LoadNetwork = Callable[[Settings], Network]
"""Loads the model that the settings name. Raises ModelError or EngineError."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The network that the service starts with, or why there is none."""

    network: Network | None
    error: ModelError | EngineError | ConfigError | None


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """What outlives a restart of the service within its process: who did what, and the last lines of the log."""

    audit: Audit = field(default_factory=Audit)
    tail: LogTail = field(default_factory=LogTail)


@dataclass(frozen=True, slots=True)
class Given:
    """What the service is built from.

    `written`: the settings as written; `settings`: with the model that was activated last. `problem`: what is wrong
    with the written settings; no model is loaded then (safe mode). `read`: reads the settings again.
    """

    written: Settings
    settings: Settings
    problem: ConfigError | None
    read: Callable[[], Settings]
    load: LoadNetwork
    clock: Clock = time.monotonic
    root: Path = Path("/")
    """Under which the sensors' files are."""
    decoder: Decoder = field(default_factory=OwnThread)
    reload: asyncio.Event = field(default_factory=asyncio.Event)
    """Set to have the settings read again."""
    memory: ProcessMemory = field(default_factory=ProcessMemory)


@dataclass(frozen=True, slots=True)
class FramePath:
    """The parts that a frame passes, and what is known about its camera."""

    admission: Admission
    """Which pictures may be decoded with the memory that is left."""
    book: CameraBook
    socket_server: Any
    transport: Transport
    connections: Connections
    publisher: Publisher
    feed: EventFeed
    pace: Pace
    detector: Detector
    calibration_frames: CalibrationFrames


@dataclass(frozen=True, slots=True)
class Parts:
    """All parts of the service."""

    settings: Settings
    limiter: ConnectionLimiter
    """Which connections are accepted, and what they may take."""
    encryption: Encryption
    path: FramePath
    governor: Governor
    canary: Canary
    folder: StateFolder | None
    activation: Activation
    rebuild: Rebuild
    changes: Changes
    reloads: Reload
    spare: Spare
    watch: Watch
    roster_keeper: RosterKeeper
    vitals: Vitals
    links: Links
    news: UpdateNews
    site: Site
    entrance: Entrance
    tail: LogTail
    reports: Mapping[str, StateReport]
    """The files with which the service describes itself."""
    restart: asyncio.Event
    """Set to have the service stop and start again."""
    app: web.Application


def in_safe_mode(problem: ConfigError) -> ConfigError:
    """Why no frame is processed, for cameras."""
    return ConfigError(f"invalid settings: {problem}", "safe_mode")
