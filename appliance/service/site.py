"""Build what makes this device one of several: agent-check, moves, and what the devices tell each other."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from appliance import __version__
from appliance.health.facts import SiteNotices
from appliance.health.findings import status_of
from appliance.ports import Clock
from appliance.service.addresses import addresses_from_outside
from appliance.service.entrance import Entrance
from appliance.settings.schema import Settings
from appliance.site.agent_check import AgentCheck
from appliance.site.bus import Subjects
from appliance.site.exchange import Exchange
from appliance.site.headroom import Condition, answer
from appliance.site.mover import Mover
from appliance.site.moves import MoveRules, OtherDevice
from appliance.site.nats_bus import NatsBus, NatsOptions
from appliance.site.presence import MOST_CAMERAS, Neighbours, Presence, wanted_of
from appliance.vitals.collect import Vitals
from appliance.web.handover import Handover
from appliance.web.report import of_findings

if TYPE_CHECKING:
    from appliance.service.parts import FramePath

_LEAVE_S = 3.0
"""At a stop, for cameras to go to another device."""

Task = tuple[str, Callable[[], Coroutine[Any, Any, None]]]


@dataclass(frozen=True, slots=True)
class Site:
    """The parts of a device that stands behind a front. All None: it does not."""

    mover: Mover | None = None
    agent_check: AgentCheck | None = None
    exchange: Exchange | None = None
    bus: NatsBus | None = None

    def tasks(self) -> list[Task]:
        """What has to run, by name."""
        tasks: list[Task] = []
        if self.mover is not None:
            tasks.append(("moves", self.mover.run))
        if self.agent_check is not None:
            tasks.append(("agent check", self.agent_check.run))
        if self.exchange is not None and self.bus is not None:
            exchange, bus = self.exchange, self.bus
            tasks += [("bus", lambda: bus.run(exchange)), ("exchange", exchange.run)]
        return tasks

    def report(self) -> dict[str, Any]:
        """The site as this device sees it, for `GET /site`; this device comes first."""
        if self.exchange is None or self.bus is None:
            return {"enabled": self.mover is not None, "devices": [], "gone": []}
        exchange = self.exchange
        devices = [exchange.own(), *exchange.neighbours.present().values()]
        return {
            "enabled": True,
            "device": exchange.neighbours.device,
            "devices": [msgspec.to_builtins(one) for one in devices],
            "gone": [msgspec.to_builtins(one) for one in exchange.neighbours.gone()],
            "bus": {
                "problem": self.bus.problem,
                "dropped": self.bus.dropped,
                "late": exchange.late,
                "invalid": exchange.invalid,
                "repeated": exchange.repeated,
            },
        }

    @property
    def stands_behind_a_front(self) -> bool:
        return self.mover is not None

    async def leave(self) -> None:
        """Send all cameras to other devices, before the service stops."""
        if self.mover is not None:
            await self.mover.leave(_LEAVE_S)

    def notices(self) -> SiteNotices:
        """What an operator should know."""
        drained = self.mover is not None and self.mover.drained
        return SiteNotices(
            drained=drained,
            cameras_left=self.mover.cameras if self.mover is not None and drained else 0,
            bus_problem=self.bus.problem if self.bus is not None else None,
        )


def build_site(settings: Settings, path: FramePath, vitals: Vitals, entrance: Entrance, clock: Clock) -> Site:
    """The parts that the settings ask for."""
    site = settings.site
    device = site.device or re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname())[:64] or "device"
    neighbours, bus = Neighbours(device, clock), None
    if site.bus_servers:
        bus = NatsBus(NatsOptions(site.bus_servers, device, site.bus_key_file, site.bus_ca_file))
    mover = check = exchange = None
    if site.agent_port:
        mover = _mover(settings, path, vitals, entrance, neighbours, bus, clock)
        check = AgentCheck(lambda: answer(_condition(vitals, mover)), settings.server.host, site.agent_port)
    if bus is not None:
        exchange = Exchange(
            bus,
            subjects=Subjects(site.bus_name),
            viewers=path.publisher,
            describe=lambda: _presence(settings, path, vitals, mover, device),
            neighbours=neighbours,
            clock=clock,
            findings=lambda: of_findings(vitals.findings(), clock(), time.time()),
        )
    return Site(mover, check, exchange, bus)


def _mover(
    settings: Settings,
    path: FramePath,
    vitals: Vitals,
    entrance: Entrance,
    neighbours: Neighbours,
    bus: NatsBus | None,
    clock: Clock,
) -> Mover:
    def others() -> Mapping[str, OtherDevice]:
        return neighbours.for_moves() if bus is not None and bus.problem is None else {}

    visitors = Handover(
        connections=path.connections,
        publisher=path.publisher,
        book=path.book,
        access=entrance.authenticator.access,
        owes=path.detector.owes,
        clock=clock,
    )
    return Mover(
        visitors=visitors,
        rules=MoveRules(settle_s=settings.site.settle_s),
        clock=clock,
        headroom=lambda: _condition(vitals, None).headroom,
        capacity=lambda: _capacity(path),
        others=others,
    )


def _condition(vitals: Vitals, mover: Mover | None) -> Condition:
    """How much this device can take. Without the mover: apart from its being drained or stopping."""
    limits = vitals.limits
    return Condition(
        ready=vitals.ready(),
        stuck=vitals.stuck,
        closing=mover is not None and mover.closing,
        admits=limits.admit and limits.new_cameras,
        duty=limits.duty,
    )


def _capacity(path: FramePath) -> float:
    """Frames/s; 1 before the first inference."""
    return max(0.01, path.detector.in_use.capacity_fps() or 1.0)


def _presence(settings: Settings, path: FramePath, vitals: Vitals, mover: Mover | None, device: str) -> Presence:
    """What this device says about itself."""
    server = settings.server
    pages = addresses_from_outside(server.host, server.port, tls=settings.tls.enabled) if server.port else []
    cameras = [name for name, camera in path.book if camera.received and not camera.own]
    return Presence(
        device=device,
        version=__version__,
        state=status_of(vitals.findings()),
        url=pages[0] if pages else None,
        drained=mover is not None and mover.drained,
        headroom=min(1.0, max(0.0, _condition(vitals, mover).headroom)),
        capacity=_capacity(path),
        temp_c=vitals.temp_c,
        moving=mover.sending if mover is not None else 0,
        cameras=tuple(cameras[:MOST_CAMERAS]),
        wants=wanted_of(path.publisher.subscribed()),
    )
