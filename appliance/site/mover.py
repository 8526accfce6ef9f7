"""Move cameras to other devices: ask them with `moved`, and close the connection of those that do not go by themselves.

Rules of this file:
- A client that knows `moved` connects again by itself. Any other is served as always for `_GRACE_S` and then held:
  nothing more is read from it. Once it has all its answers it is cut off, so no frame is accepted and left without
  one; every Socket.IO client comes back from that by itself. A device that stops holds sooner.
- Until `_AWAY_S` after the request this device refuses it: the front then passes it
  to another device, also where its table or its hash would send it here. If there is none, it comes back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from appliance.ports import Clock
from appliance.site.moves import Move, MoveReason, MoveRules, MoveState, OtherDevice, Resident, Situation, decide_moves

log = logging.getLogger(__name__)

_GRACE_S = 2.0
_LEAVING_GRACE_S = 0.5
_PATIENCE_S = 5.0
"""For the answers of a camera that is to be cut off."""
_AWAY_S = 15.0
_TICK_S = 1.0
_POLL_S = 0.05


class Visitors(Protocol):
    """The clients that came through the front, by camera; `web/handover.py` implements it."""

    def residents(self) -> Sequence[Resident]: ...

    def ask(self, move: Move) -> None:
        """Send `moved` to the clients of a camera. Returns at once."""

    def is_busy(self, camera: str) -> bool:
        """Whether an answer to one of its clients is still to come."""

    def hold(self, camera: str, wait_s: float) -> None:
        """Read nothing more from its clients for this time; what they have sent is still answered. Returns at once."""

    async def close(self, camera: str) -> None:
        """Close the connections of its clients, so that they connect again."""


@dataclass(slots=True)
class _Asked:
    move: Move
    at_s: float
    held: bool = False
    quiet: bool = False
    """It had all its answers at the last look."""


class Mover:
    """Decides once a second, and carries the moves out.

    `headroom`: the part of its full capacity that this device can offer, 0-1. `others`: what is known of the others.
    """

    def __init__(
        self,
        *,
        visitors: Visitors,
        rules: MoveRules,
        clock: Clock,
        headroom: Callable[[], float] = lambda: 1.0,
        capacity: Callable[[], float] = lambda: 1.0,
        others: Callable[[], Mapping[str, OtherDevice]] = dict,
    ) -> None:
        self._visitors, self._rules, self._clock = visitors, rules, clock
        self._started_s = clock()
        self._headroom, self._capacity, self._others = headroom, capacity, others
        self._state = MoveState()
        self._asked: dict[str, _Asked] = {}
        self._away: dict[str, float] = {}
        """Cameras that are refused until this time."""
        self.drained = self.leaving = False
        self.moved: dict[MoveReason, int] = dict.fromkeys(MoveReason, 0)
        """Cameras that were asked to move since the start."""

    async def run(self) -> None:
        """Move cameras until cancelled."""
        due_s = self._clock()
        while True:
            if self._clock() >= due_s:
                due_s = self._clock() + _TICK_S
                self.decide()
            await self.carry_out()
            await asyncio.sleep(_POLL_S if self._asked else _TICK_S / 4)

    def decide(self) -> None:
        """Decide about the next second, and ask the cameras that are to move."""
        now_s = self._clock()
        self._away = {name: until_s for name, until_s in self._away.items() if until_s > now_s}
        residents = [one for one in self._visitors.residents() if one.name not in self._asked]
        seen = Situation(
            now_s=now_s,
            headroom=self._headroom(),
            residents=residents,
            capacity=self._capacity(),
            up_s=now_s - self._started_s,
            leaving=self.leaving,
            draining=self.drained,
            others=self._others(),
        )
        self._state, moves = decide_moves(self._state, seen, self._rules)
        for move in moves:
            self._ask(move)

    async def carry_out(self) -> None:
        """Cut off whoever was asked, has not gone, and has its answers."""
        now_s = self._clock()
        here = {one.name for one in self._visitors.residents()} if self._asked else set()
        for name, asked in list(self._asked.items()):
            if name not in here:
                del self._asked[name]
                continue
            if now_s - asked.at_s < (_LEAVING_GRACE_S if self.leaving else _GRACE_S):
                continue
            if not asked.held:
                asked.held = True
                self._visitors.hold(name, _PATIENCE_S)
            busy = self._visitors.is_busy(name)
            if (asked.quiet and not busy) or now_s - asked.at_s >= _PATIENCE_S:
                del self._asked[name]
                await self._visitors.close(name)
            else:
                asked.quiet = not busy

    async def leave(self, within_s: float) -> None:
        """Send everybody away and wait until they have gone, at most this long. Then the service stops."""
        self.leaving = True
        self.decide()
        until_s = self._clock() + within_s
        while self._visitors.residents() and self._clock() < until_s:  # noqa: ASYNC110  # clients go one by one
            await asyncio.sleep(_POLL_S)

    def refuses(self, camera: str | None) -> bool:
        """Whether a client that connects through the front should be passed to another device."""
        return self.closing or self._away.get(camera or "", 0.0) > self._clock()

    def drain(self, drained: bool) -> None:
        """Take no cameras and move those that are here, or take part again."""
        if drained != self.drained:
            log.warning("drained by an operator" if drained else "takes cameras again", extra={"kind": "drain"})
        self.drained = drained
        if not drained:
            self._away.clear()

    @property
    def closing(self) -> bool:
        """Drained by a person, or stopping."""
        return self.drained or self.leaving

    @property
    def cameras(self) -> int:
        """Cameras and viewers that came through the front."""
        return len(self._visitors.residents())

    @property
    def sending(self) -> int:
        """Cameras that came through the front and send frames."""
        return sum(one.sends for one in self._visitors.residents())

    def _ask(self, move: Move) -> None:
        now_s = self._clock()
        self._asked[move.camera] = _Asked(move, now_s)
        self._away[move.camera] = now_s + _AWAY_S
        self.moved[move.reason] += 1
        log.info("camera %s is asked to move: %s", move.camera, move.reason.value, extra={"camera": move.camera})
        self._visitors.ask(move)
