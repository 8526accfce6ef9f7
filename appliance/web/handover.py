"""Hand clients over to another device of the site: who came through the front, `moved`, and closing between two frames.

Only clients that a trusted proxy has passed on can move; one that connects to this device directly would come back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiohttp import web

from appliance import camera_names
from appliance.flow.cameras import CameraBook
from appliance.ports import Clock
from appliance.site.moves import Move, Resident
from appliance.web.access import Access
from appliance.web.clients import is_passed_on
from appliance.web.connections import Connections
from appliance.web.publisher import Publisher

NAME_IN_QUERY = "camera"
"""Where the front reads the camera's name."""
ANYWHERE = "1"
"""In `moved`: the front chooses the device."""


@dataclass(frozen=True, slots=True)
class _Visitor:
    sid: str
    camera: str
    """Under which it is connected."""
    key: str
    """The camera that it was placed by."""
    since_s: float


class Handover:
    """Implements `site.mover.Visitors` for Socket.IO. `owes`: whether an answer to this client is still to come."""

    def __init__(
        self,
        *,
        connections: Connections,
        publisher: Publisher,
        book: CameraBook,
        access: Access,
        owes: Callable[[str], bool],
        clock: Clock,
    ) -> None:
        self._connections, self._publisher, self._book, self._access = connections, publisher, book, access
        self._owes, self._clock = owes, clock
        self._known: dict[str, _Visitor | None] = {}
        """By client; None: it did not come through the front."""

    def residents(self) -> Sequence[Resident]:
        """Cameras and viewers that came through the front, by the camera that they were placed by."""
        now_s = self._clock()
        found: dict[str, Resident] = {}
        for visitor in self._visitors():
            camera, before = self._book.get(visitor.camera), found.get(visitor.key)
            sends = camera is not None and camera.received > 0 and camera.sending(now_s)
            if before is None or (sends and not before.sends):
                priority = camera.policy.priority if camera is not None else 0
                found[visitor.key] = Resident(visitor.key, priority, now_s - visitor.since_s, sends)
        return list(found.values())

    def ask(self, move: Move) -> None:
        payload = {"reason": move.reason.value, "moved": move.to or ANYWHERE}
        for visitor in self._of(move.camera):
            self._publisher.post(visitor.sid, "moved", payload)

    def is_busy(self, camera: str) -> bool:
        return any(self._owes(one.sid) or not self._publisher.is_idle(one.sid) for one in self._of(camera))

    def hold(self, camera: str, wait_s: float) -> None:
        for visitor in self._of(camera):
            self._connections.hold(visitor.sid, wait_s)

    async def close(self, camera: str) -> None:
        for visitor in self._of(camera):
            await self._connections.end(visitor.sid, "it moves to another device of the site")

    def _of(self, key: str) -> list[_Visitor]:
        return [visitor for visitor in self._visitors() if visitor.key == key]

    def _visitors(self) -> list[_Visitor]:
        """Look up new clients once, and forget those that have gone."""
        before, self._known = self._known, {}
        for sid, camera in self._publisher.clients():
            self._known[sid] = before[sid] if sid in before else self._look_up(sid, camera)
        return [visitor for visitor in self._known.values() if visitor is not None]

    def _look_up(self, sid: str, camera: str) -> _Visitor | None:
        request = self._connections.request_of(sid)
        if request is None or not is_passed_on(request, self._access.rules.proxies):
            return None
        key = camera_names.normal(request.query.get(NAME_IN_QUERY)) or camera
        return _Visitor(sid, camera, key, self._clock())


def passes_on(access: Access, refuses: Callable[[str | None], bool]) -> Callable[[web.BaseRequest], bool]:
    """Whether the front is to offer a new connection to another device. `refuses`: whether this one takes a camera."""

    def passes(request: web.BaseRequest) -> bool:
        if not is_passed_on(request, access.rules.proxies):
            return False
        return refuses(camera_names.normal(request.query.get(NAME_IN_QUERY)))

    return passes
