"""A camera for tests: a real Socket.IO client that records every event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import socketio

ANSWERS = ("detection_results", "detection_error", "frame_skipped")

Heard = tuple[str, Any]


class Camera:
    """A client that `camera(url)` has connected; `heard` has all events in order."""

    def __init__(self) -> None:
        self.client: Any = socketio.AsyncClient(reconnection=False)
        self.client.on("*", self._hear)
        self.heard: list[Heard] = []
        self._news = asyncio.Event()

    @property
    def sid(self) -> str:
        return str(self.client.get_sid())

    def _hear(self, event: str, payload: Any = None) -> None:
        self.heard.append((event, payload))
        self._news.set()

    async def push(self, payload: Any) -> dict[str, Any]:
        """Send a frame and return its acknowledgement."""
        ack = await self.client.call("process_frame", payload, timeout=20)
        assert isinstance(ack, dict)
        return ack

    async def push_blind(self, payload: Any) -> None:
        """Send a frame without an acknowledgement."""
        await self.client.emit("process_frame", payload)

    async def call(self, event: str, payload: Any) -> Any:
        return await self.client.call(event, payload, timeout=20)

    async def until(self, holds: Callable[[Sequence[Heard]], bool]) -> None:
        """Wait until the recorded events satisfy a condition."""
        while not holds(self.heard):
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), 20)

    async def first(self, event: str) -> Any:
        """Wait for the first event of this name and return its payload."""
        return await self.nth(event, 1)

    async def nth(self, event: str, number: int) -> Any:
        await self.until(lambda heard: sum(name == event for name, _ in heard) >= number)
        return [payload for name, payload in self.heard if name == event][number - 1]

    async def answer(self, frame_id: object) -> Heard:
        """Wait for the first answer to the frame with this id."""
        await self.until(lambda _: bool(self.answers(frame_id)))
        return self.answers(frame_id)[0]

    def answers(self, frame_id: object) -> list[Heard]:
        """All answers so far to the frame with this id."""
        return [(event, p) for event, p in self.heard if event in ANSWERS and p["frame_id"] == frame_id]

    def count(self) -> int:
        """All answers so far."""
        return sum(event in ANSWERS for event, _ in self.heard)


@asynccontextmanager
async def camera(
    url: str,
    name: str | None = None,
    token: str | None = None,
    transports: Sequence[str] = ("websocket",),
    **more: object,
) -> AsyncIterator[Camera]:
    """A connected camera; raises socketio's ConnectionError if it is refused. `more`: further fields of `auth`."""
    auth = {key: value for key, value in (("name", name), ("token", token), *more.items()) if value is not None}
    opened = Camera()
    try:
        await opened.client.connect(url, auth=auth or None, transports=list(transports), wait_timeout=20)
        yield opened
    finally:
        if opened.client.eio.current_transport == "polling":
            await opened.client.eio.http.close()  # otherwise its last GET waits until the next ping of the server
        await opened.client.disconnect()
