"""The camera's side: pushes a source's pictures to a box, keeps to the limits it is told, and tells what is seen.

One frame is under way at a time, and the next picture is taken only when it may be sent: what the box would refuse is
never captured.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import socketio

from appliance.errors import SourceError
from appliance.ports import Clock, FrameSource

log = logging.getLogger(__name__)

_ANSWER_WITHIN_S = 10.0
_LONGEST_PAUSE_S = 10.0

Seen = Callable[[dict[str, Any]], None]
"""Is handed each `detection_results` payload."""


class Agent:
    """Pushes one source to one box until it is cancelled or the source ends."""

    def __init__(
        self, source: FrameSource, *, url: str, name: str, token: str, seen: Seen, clock: Clock = time.monotonic
    ) -> None:
        self._source, self._url, self._auth, self._seen, self._clock = source, url, {"name": name}, seen, clock
        if token:
            self._auth["token"] = token
        self._client: Any = socketio.AsyncClient(reconnection=False)
        self._min_interval_s = 0.0
        self._answers: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue(16)
        self._client.on("connected", self._connected)
        self._client.on("limits", self._limits)
        for event in ("detection_results", "detection_error", "frame_skipped"):
            self._client.on(event, self._answer(event))

    async def run(self) -> None:
        """Connect, push, and connect again for ever. Raises SourceError when the source ends."""
        pictures = self._source.pictures()
        pause_s = 0.5
        try:
            while True:
                try:
                    await self._client.connect(self._url, auth=self._auth, transports=["websocket"])
                    pause_s = 0.5
                    await self._push(pictures)
                except socketio.exceptions.SocketIOError as error:
                    log.warning("no connection to %s (%s); trying again", self._url, error, extra={"kind": "connect"})
                await self._client.disconnect()
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        finally:
            await self._client.disconnect()
            self._source.close()

    async def _push(self, pictures: Iterator[bytes]) -> None:
        loop = asyncio.get_running_loop()
        next_s = self._clock()
        for number in itertools.count(1):
            await asyncio.sleep(max(0.0, next_s - self._clock()))
            next_s = self._clock() + self._min_interval_s
            captured_at = time.time()
            picture = await loop.run_in_executor(None, next, pictures, None)
            if picture is None:
                raise SourceError("the source has ended")
            if not self._client.connected:
                return
            frame = {"image": picture, "frame_id": number, "captured_at": captured_at}
            await self._client.emit("process_frame", frame)
            next_s = max(next_s, self._clock() + await self._await_answer(number))

    async def _await_answer(self, number: int) -> float:
        """Seconds to wait before the next frame, beyond the usual interval."""
        deadline_s = self._clock() + _ANSWER_WITHIN_S
        while (left_s := deadline_s - self._clock()) > 0 and self._client.connected:
            try:
                event, payload = await asyncio.wait_for(self._answers.get(), min(left_s, 1.0))
            except asyncio.TimeoutError:
                continue
            if payload.get("frame_id") != number:
                continue
            if event == "detection_results":
                self._seen(payload)
            elif event == "detection_error":
                log.warning("%s (%s)", payload.get("error"), payload.get("code"), extra={"kind": "answer"})
                return 1.0
            else:
                return float(payload.get("retry_after") or 0.0)
            return 0.0
        return 0.0

    def _answer(self, event: str) -> Callable[[dict[str, Any]], None]:
        def take(payload: dict[str, Any]) -> None:
            if self._answers.full():
                self._answers.get_nowait()
            self._answers.put_nowait((event, payload))

        return take

    def _connected(self, payload: dict[str, Any]) -> None:
        log.info("connected to %s as %s", self._url, payload.get("camera"))
        self._limits(payload.get("limits") or {})

    def _limits(self, limits: dict[str, Any]) -> None:
        self._min_interval_s = float(limits.get("min_interval") or 0.0)
        self._source.resize(int(limits.get("max_side") or 640), int(limits.get("jpeg_quality") or 80))
