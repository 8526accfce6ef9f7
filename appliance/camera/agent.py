"""Camera agent: send a source's pictures to the device within its limits, and report each result.

Rules of this file:
- One frame is in flight at a time. The agent captures the next picture only when it can send it, so each frame is the
  newest and none is captured for nothing.
- New limits apply to the next picture, also when they arrive while the agent waits.
- The agent reconnects forever with a growing, random pause: fifty cameras must not reconnect to a restarted device at
  the same moment.
- A camera that is asked to move leaves between two frames and connects again at once.
- After a permanent rejection of its name or token it tries again after minutes, or as soon as the token changes.
- Durations are monotonic. The wall clock is only sent to the device (`captured_at`) and can jump.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.camera.failures import LinkLost, NameRejected, Rejected, WebSocketBlocked, bounded_s
from appliance.camera.link import POLLING, WEBSOCKET, Link, connected
from appliance.camera.repeated_lines import RepeatedLines
from appliance.camera.sources.source import Capture, Source
from appliance.camera.worker_thread import WorkerThread
from appliance.device import systemd
from appliance.errors import ConfigError, did_you_mean
from appliance.ports import Clock, Notifier
from appliance.redaction import redact
from appliance.values import CameraLimits

log = logging.getLogger(__name__)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 2.5
_FIRST_AFTER_REJECTION_S, _LONGEST_AFTER_REJECTION_S = 60.0, 300.0
_CHECK_TOKEN_S = 2.0
_MOVE_WITHIN_S = 0.3
"""A site's cameras spread their moves over this time."""
_POLL_AFTER = 3
"""Consecutive attempts without a WebSocket before polling. Fewer are normal while a device restarts."""
_POLL_FOR_S = 600.0
"""Time to use HTTP polling before trying a WebSocket again."""
_AFTER_ERROR_S = 1.0
_MOST_NAMED = 20
_BEAT_S = 2.0
_BY_POLLING = " over HTTP polling, because WebSocket connections fail"
_STUCK_S = 20.0
"""A source counts as hung when `take` blocks this long; a normal `take` returns after `PATIENCE_S`."""

Find = Callable[[], Awaitable[str]]
"""Returns the URL of the device to connect to. Raises LinkLost while it is unknown."""


@dataclass(frozen=True, slots=True)
class FrameResult:
    """The result of one frame: the `detection_results` payload, the picture and the latency."""

    payload: Mapping[str, Any]
    picture: bytes
    latency_ms: float
    """From capture, as precisely as the source knows it, to the arrival of the result."""

    @property
    def names(self) -> tuple[str, ...]:
        """Class names of the detections, highest confidence first."""
        return tuple(str(one["name"]) for one in self.payload["detections"])


OnResult = Callable[[FrameResult], None]
"""Receives each result; returns at once."""


class Agent:
    """Sends the pictures of one source to one device. It calls `token` for each connection, so that it can change.

    `pairs`: the token is the camera's own, and the device's operator is asked to approve it.
    `classes`: what the device has to detect.
    """

    def __init__(
        self,
        source: Source,
        *,
        find: Find,
        name: str,
        on_result: OnResult,
        token: Callable[[], str] = str,
        pairs: bool = False,
        ca_file: str = "",
        classes: Collection[str] = (),
        notifier: Notifier | None = None,
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
    ) -> None:
        self._source, self._find, self._name, self._token, self._on_result = source, find, name, token, on_result
        self._pairs, self._ca_file = pairs, ca_file
        self._classes = frozenset(classes)
        self._notifier = notifier or systemd.NoNotifier()
        self._clock, self._wall = clock, wall
        self._numbers = itertools.count(1)
        self._begun_s = float("-inf")
        """Start of the latest capture."""
        self._not_before_s = float("-inf")
        """Earliest time of the next capture after a skipped or failed frame, in addition to the limits."""
        self._taking_since_s: float | None = None
        self._transport = WEBSOCKET
        self._blocked = 0
        """Consecutive attempts without a WebSocket."""
        self._last_token = ""
        """The token of the latest connection attempt."""
        self._moved: str | None = None
        """Where the last device has sent this camera."""
        self._lines = RepeatedLines(clock)
        """What went wrong lately."""
        self._answers = 0
        self._latency_ms = 0.0

    async def run(self) -> None:
        """Connect, send pictures and reconnect, until cancelled.

        Raises SourceError when the source ends, ConfigError when the device rejects the camera's name or, at the first
        connection, does not detect one of `classes`.
        """
        thread = WorkerThread("source")
        failures = rejections = 0
        try:
            while True:
                answers = self._answers
                least_s = 0.0
                rejected = False
                try:
                    await self._use_connection(await self._find(), thread)
                except LinkLost as error:
                    self._moved = None
                    if isinstance(error, NameRejected):
                        raise ConfigError(
                            f"the device rejects the name {self._name!r}: {error}. Set another with --name, "
                            "or update the device"
                        ) from None
                    rejected, least_s = isinstance(error, Rejected), error.retry_after_s
                    self._choose_transport(error)
                    self._report(error)
                failures = 0 if self._answers > answers else failures + 1
                rejections = rejections + 1 if rejected else 0
                if self._moved is not None:
                    await asyncio.sleep(random.random() * _MOVE_WITHIN_S)
                elif rejected:
                    await self._wait_for_new_token(after_rejection_s(rejections, random.random()))
                else:
                    await asyncio.sleep(max(least_s, pause_s(failures, random.random())))
        finally:
            self._source.close()
            thread.close()

    def _choose_transport(self, error: LinkLost) -> None:
        """Choose the transport of the next connection."""
        self._blocked = self._blocked + 1 if isinstance(error, WebSocketBlocked) else 0
        sure = isinstance(error, WebSocketBlocked) and (error.certain or self._blocked >= _POLL_AFTER)
        self._transport = POLLING if sure else WEBSOCKET

    def _report(self, error: LinkLost) -> None:
        if isinstance(error, Rejected):
            log.error(
                "The device rejects this camera (%s). Correct its name, token or address here or in the device's "
                "settings. Trying again in a few minutes.", error, extra={"kind": "link"},
            )  # fmt: skip
        else:
            retry = "trying HTTP polling next" if self._transport == POLLING else "trying again"
            if self._lines.due(f"{error} {retry}"):
                log.warning("no connection to the device (%s); %s", error, retry, extra={"kind": "link"})

    async def _wait_for_new_token(self, longest_s: float) -> None:
        """Wait until the token changes, at most this long."""
        for _ in range(math.ceil(longest_s / _CHECK_TOKEN_S)):
            await asyncio.sleep(_CHECK_TOKEN_S)
            if self._current_token() != self._last_token:
                return

    def _current_token(self) -> str:
        try:
            return self._token()
        except ConfigError:  # the file is being replaced
            return self._last_token

    async def beat(self) -> None:
        """Ping the watchdog until cancelled, except while the source is hung."""
        while True:
            since_s = self._taking_since_s
            if since_s is None or self._clock() - since_s < _STUCK_S:
                self._notifier.notify(systemd.ALIVE)
            if self._answers:
                self._notifier.notify(
                    systemd.status(f"{self._answers} results, latest latency {self._latency_ms:.0f} ms")
                )
            await asyncio.sleep(_BEAT_S)

    async def _use_connection(self, url: str, thread: WorkerThread) -> None:
        """Use one connection until it is lost (LinkLost) or the time for polling is over."""
        try:
            token = self._last_token = self._token()
        except ConfigError as error:
            raise LinkLost(str(error)) from None
        auth = {"name": self._name, "token": token, "pair": self._pairs, "classes": bool(self._classes)}
        until_s = self._clock() + (_POLL_FOR_S if self._transport == POLLING else float("inf"))
        auth = {key: value for key, value in auth.items() if value}
        place, self._moved = {"camera": self._name, "moved": self._moved}, None
        async with connected(url, auth, self._transport, ca_file=self._ca_file, place=place) as link:
            log.info("connected to %s as %s%s", redact(url), link.camera, _BY_POLLING * (self._transport == POLLING))
            # What another device asked for, or a frame that was lost: this one has answered nothing yet.
            self._begun_s = self._not_before_s = float("-inf")
            self._check_classes(link.classes)
            while self._clock() < until_s:
                await self._wait_for_turn(link)
                if link.moved is not None:
                    log.info("the device sends this camera to another one of the site", extra={"kind": "link"})
                    self._moved = link.moved
                    return
                capture = await self._take(link.limits, thread)
                if capture is not None:
                    await self._send(link, capture)
        self._transport = WEBSOCKET

    def _check_classes(self, known: frozenset[str] | None) -> None:
        """Refuse a class that the device does not detect. Once the agent has worked, a change of model ends nothing."""
        unknown = min(self._classes - known, default=None) if known is not None else None
        if unknown is None or known is None:
            return
        hint = did_you_mean(unknown, known) or f". It detects: {', '.join(sorted(known)[:_MOST_NAMED])}"
        what = f"--on {unknown}: the device's model does not detect '{unknown}'{hint}"
        if not self._answers:
            raise ConfigError(what)
        log.warning("%s", what, extra={"kind": "trigger"})

    async def _wait_for_turn(self, link: Link) -> None:
        """Wait until the current limits allow the next capture, or the camera is asked to move."""
        while link.moved is None and (remaining_s := self._due_s(link.limits) - self._clock()) > 0:
            await link.wait_for_change(remaining_s)

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
        event, payload = await link.send(frame)
        if event == "detection_results":
            self._latency_ms = (self._clock() - capture.taken_s) * 1000
            self._answers += 1
            self._lines.clear()
            if self._answers == 1:
                self._notifier.notify(systemd.READY, systemd.status(f"first result after {self._latency_ms:.0f} ms"))
            self._on_result(FrameResult(payload, capture.picture, self._latency_ms))
        elif event == "detection_error":
            if self._lines.due(f"{payload.get('error')} {payload.get('code')}"):
                log.warning("%s (%s)", payload.get("error"), payload.get("code"), extra={"kind": "answer"})
            self._not_before_s = self._clock() + _AFTER_ERROR_S
        else:
            with contextlib.suppress(TypeError, ValueError):
                self._not_before_s = self._clock() + bounded_s(payload.get("retry_after"))


def pause_s(failures: int, chance: float) -> float:
    """Pause before the next attempt after this number of consecutive failures, s. `chance`: random, 0-1."""
    longest_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(failures, 16))
    return longest_s * (0.25 + 0.75 * chance)


def after_rejection_s(rejections: int, chance: float) -> float:
    """Pause after this number of consecutive rejections, s. `chance`: random, 0-1."""
    longest_s = min(_LONGEST_AFTER_REJECTION_S, _FIRST_AFTER_REJECTION_S * 2.0 ** min(max(rejections - 1, 0), 16))
    return longest_s * (0.75 + 0.25 * chance)
