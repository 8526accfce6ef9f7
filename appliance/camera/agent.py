"""The camera's side: pushes a source's pictures to a box, keeps to the limits it is told, and hands on what was seen.

Rules of this file:
- One frame is under way at a time, and the next picture is taken only when it may be sent: what the box would refuse is
  never captured, and what is sent is the newest there is.
- Limits hold from the very next picture on, also when they change while the agent waits for its turn.
- It connects again for ever, a little later each time and never at the same moment as the others: fifty cameras whose
  box was restarted must not come back as one.
- A device that rejects the name or token for good is asked again in minutes, or when the token changes.
- Durations are monotonic. The wall clock is only told to the box (`captured_at`), and may jump.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.camera.link import POLLING, WEBSOCKET, Link, LinkLost, Rejected, WebSocketBlocked, bounded_s, connected
from appliance.camera.sources.source import Capture, Source
from appliance.camera.worker_thread import WorkerThread
from appliance.device import systemd
from appliance.errors import ConfigError
from appliance.ports import Clock, Notifier
from appliance.redaction import redact
from appliance.values import CameraLimits

log = logging.getLogger(__name__)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 2.5
_FIRST_AFTER_REFUSAL_S, _LONGEST_AFTER_REFUSAL_S = 60.0, 300.0
_LOOK_AT_TOKEN_S = 2.0
_SURE_AFTER = 3
"""Attempts without a websocket in a row after which it is not the device's restart that is in the way."""
_POLL_FOR_S = 600.0
"""How long HTTP polling is kept to before a websocket is tried again: whatever was in its way may have gone."""
_AFTER_ERROR_S = 1.0
_BEAT_S = 2.0
_BY_POLLING = " by HTTP polling: no websocket gets through"
_STUCK_S = 20.0
"""A source that does not come back from `take` for so long hangs: `PATIENCE_S` is a quarter of it."""

Find = Callable[[], Awaitable[str]]
"""The address of the box to connect to now. Raises LinkLost while none is known."""


@dataclass(frozen=True, slots=True)
class FrameResult:
    """One answered frame: the `detection_results` payload, its picture, and how long both took."""

    payload: Mapping[str, Any]
    picture: bytes
    latency_ms: float
    """From the shutter, as well as the source knows it, to the answer's arrival."""

    @property
    def names(self) -> tuple[str, ...]:
        """The classes seen, surest first."""
        return tuple(str(one["name"]) for one in self.payload["detections"])


OnResult = Callable[[FrameResult], None]
"""Is handed each answer; returns at once."""


class Agent:
    """Pushes one source to one box. `token` is asked for at each connection, so that it can change."""

    def __init__(
        self,
        source: Source,
        *,
        find: Find,
        name: str,
        on_result: OnResult,
        token: Callable[[], str] = str,
        notifier: Notifier | None = None,
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
    ) -> None:
        self._source, self._find, self._name, self._token, self._on_result = source, find, name, token, on_result
        self._notifier = notifier or systemd.NoNotifier()
        self._clock, self._wall = clock, wall
        self._numbers = itertools.count(1)
        self._begun_s = float("-inf")
        """When the newest picture was begun."""
        self._not_before_s = float("-inf")
        """What the box asked for with its last refusal, beside its limits."""
        self._taking_since_s: float | None = None
        self._transport = WEBSOCKET
        self._blocked = 0
        """Attempts in a row that gave no websocket."""
        self._rejected = ""
        """The token of the newest connection, or attempt at one."""
        self._answers = 0
        self._latency_ms = 0.0

    async def run(self) -> None:
        """Connect, push, and connect again, until cancelled. Raises SourceError when the source ends."""
        thread = WorkerThread("source")
        failures = refusals = 0
        try:
            while True:
                answers = self._answers
                least_s = 0.0
                refused = False
                try:
                    await self._visit(await self._find(), thread)
                except LinkLost as error:
                    refused, least_s = isinstance(error, Rejected), error.retry_after_s
                    self._choose(error)
                    self._report(error)
                failures = 0 if self._answers > answers else failures + 1
                refusals = refusals + 1 if refused else 0
                if refused:
                    await self._wait_for_new_token(after_refusal_s(refusals, random.random()))
                else:
                    await asyncio.sleep(max(least_s, pause_s(failures, random.random())))
        finally:
            self._source.close()
            thread.close()

    def _choose(self, error: LinkLost) -> None:
        """The transport of the next connection."""
        self._blocked = self._blocked + 1 if isinstance(error, WebSocketBlocked) else 0
        sure = isinstance(error, WebSocketBlocked) and (error.certain or self._blocked >= _SURE_AFTER)
        self._transport = POLLING if sure else WEBSOCKET

    def _report(self, error: LinkLost) -> None:
        if isinstance(error, Rejected):
            log.error(
                "the device rejects this camera (%s); correct its name, token or address, here or in the "
                "device's settings; trying again in some minutes", error, extra={"kind": "link"},
            )  # fmt: skip
        else:
            how = "; trying HTTP polling next" if self._transport == POLLING else "; trying again"
            log.warning("no connection to the box (%s)%s", error, how, extra={"kind": "link"})

    async def _wait_for_new_token(self, longest_s: float) -> None:
        """Wait so long, or until the token is another one than was rejected."""
        for _ in range(math.ceil(longest_s / _LOOK_AT_TOKEN_S)):
            await asyncio.sleep(_LOOK_AT_TOKEN_S)
            if self._new_token() != self._rejected:
                return

    def _new_token(self) -> str:
        try:
            return self._token()
        except ConfigError:  # its file is being replaced
            return self._rejected

    async def beat(self) -> None:
        """Tell the service manager that the agent lives, until cancelled: while its source comes back from its work."""
        while True:
            since_s = self._taking_since_s
            if since_s is None or self._clock() - since_s < _STUCK_S:
                self._notifier.notify(systemd.ALIVE)
            if self._answers:
                self._notifier.notify(
                    systemd.status(f"{self._answers} answers, the last {self._latency_ms:.0f} ms after the shutter")
                )
            await asyncio.sleep(_BEAT_S)

    async def _visit(self, url: str, thread: WorkerThread) -> None:
        """One connection, to its end: LinkLost, or a polling one's time is over."""
        try:
            token = self._rejected = self._token()
        except ConfigError as error:
            raise LinkLost(str(error)) from None
        auth = {"name": self._name, "token": token}
        until_s = self._clock() + (_POLL_FOR_S if self._transport == POLLING else float("inf"))
        async with connected(url, {key: value for key, value in auth.items() if value}, self._transport) as link:
            log.info("connected to %s as %s%s", redact(url), link.camera, _BY_POLLING * (self._transport == POLLING))
            while self._clock() < until_s:
                await self._turn(link)
                capture = await self._take(link.limits, thread)
                if capture is not None:
                    await self._send(link, capture)
        self._transport = WEBSOCKET

    async def _turn(self, link: Link) -> None:
        """Wait until the next picture may be taken, by the limits as they are then."""
        while (left_s := self._due_s(link.limits) - self._clock()) > 0:
            await link.news(left_s)

    def _due_s(self, limits: CameraLimits) -> float:
        return max(self._begun_s + limits.min_interval_s, self._not_before_s)

    async def _take(self, limits: CameraLimits, thread: WorkerThread) -> Capture | None:
        self._begun_s = self._taking_since_s = self._clock()
        try:
            return await thread.run(self._source.take, limits)
        finally:
            self._taking_since_s = None

    async def _send(self, link: Link, capture: Capture) -> None:
        frame = {
            "image": capture.picture,
            "frame_id": next(self._numbers),
            "captured_at": self._wall() - (self._clock() - capture.taken_s),
        }
        event, payload = await link.ask(frame)
        if event == "detection_results":
            self._latency_ms = (self._clock() - capture.taken_s) * 1000
            self._answers += 1
            if self._answers == 1:
                self._notifier.notify(systemd.READY, systemd.status(f"answered after {self._latency_ms:.0f} ms"))
            self._on_result(FrameResult(payload, capture.picture, self._latency_ms))
        elif event == "detection_error":
            log.warning("%s (%s)", payload.get("error"), payload.get("code"), extra={"kind": "answer"})
            self._not_before_s = self._clock() + _AFTER_ERROR_S
        else:
            with contextlib.suppress(TypeError, ValueError):
                self._not_before_s = self._clock() + bounded_s(payload.get("retry_after"))


def pause_s(failures: int, chance: float) -> float:
    """How long to wait before the next connection, after so many failed ones in a row; `chance` 0-1 spreads it."""
    longest_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(failures, 16))
    return longest_s * (0.25 + 0.75 * chance)


def after_refusal_s(refusals: int, chance: float) -> float:
    """How long to wait after so many rejections of the name or token in a row; `chance` 0-1 spreads it."""
    longest_s = min(_LONGEST_AFTER_REFUSAL_S, _FIRST_AFTER_REFUSAL_S * 2.0 ** min(max(refusals - 1, 0), 16))
    return longest_s * (0.75 + 0.25 * chance)
