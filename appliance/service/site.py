"""Build what makes this device one of several: agent-check, moves, and what the devices tell each other."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance.health.facts import SiteNotices
from appliance.ports import Clock
from appliance.service.entrance import Entrance
from appliance.settings.schema import Settings
from appliance.site.agent_check import AgentCheck
from appliance.site.headroom import Condition, answer
from appliance.site.mover import Mover
from appliance.site.moves import MoveRules
from appliance.vitals import Vitals
from appliance.web.handover import Handover

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

    def tasks(self) -> list[Task]:
        """What has to run, by name."""
        tasks: list[Task] = []
        if self.mover is not None:
            tasks.append(("moves", self.mover.run))
        if self.agent_check is not None:
            tasks.append(("agent check", self.agent_check.run))
        return tasks

    async def leave(self) -> None:
        """Send all cameras to other devices, before the service stops."""
        if self.mover is not None:
            await self.mover.leave(_LEAVE_S)

    def notices(self) -> SiteNotices:
        """What an operator should know."""
        if self.mover is None or not self.mover.drained:
            return SiteNotices()
        return SiteNotices(drained=True, cameras_left=self.mover.cameras)


def build_site(settings: Settings, path: FramePath, vitals: Vitals, entrance: Entrance, clock: Clock) -> Site:
    """The parts that the settings ask for."""
    site = settings.site
    if not site.agent_port:
        return Site()
    visitors = Handover(
        connections=path.connections,
        publisher=path.publisher,
        book=path.book,
        access=entrance.authenticator.access,
        owes=path.detector.owes,
        clock=clock,
    )

    def condition() -> Condition:
        limits = vitals.limits
        return Condition(
            ready=vitals.ready(),
            stuck=vitals.stuck,
            closing=mover.drained or mover.leaving,
            admits=limits.admit and limits.new_cameras,
            duty=limits.duty,
        )

    mover = Mover(
        visitors=visitors,
        condition=condition,
        rules=MoveRules(settle_s=site.settle_s),
        clock=clock,
        capacity=lambda: path.detector.capacity_fps() or 1.0,
    )
    visitors.refuses = mover.refuses
    return Site(mover, AgentCheck(lambda: answer(condition()), settings.server.host, site.agent_port))
