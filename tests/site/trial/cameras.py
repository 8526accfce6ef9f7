"""Cameras of the trial: agents, and plain Socket.IO clients that know nothing of a site, by websocket or polling.

Every frame is on record.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import socketio

from appliance.camera.agent import Agent, FrameResult
from appliance.camera.sources.source import Capture
from appliance.values import CameraLimits

_ANSWERS = ("detection_results", "detection_error", "frame_skipped")
_PATIENCE_S = 15.0


@dataclass(slots=True)
class Sent:
    """One frame. `device`: which one has answered it; `number`: its `frame_id` in the answer."""

    at_s: float
    accepted: bool = False
    answered_s: float | None = None
    event: str = ""
    device: str = ""
    number: int = 0


@dataclass
class Record:
    """What happened to one camera's frames. `interval_s`: between two frames; may change."""

    name: str
    kind: str
    interval_s: float
    frames: list[Sent] = field(default_factory=list)

    def last(self) -> Sent | None:
        """The last result."""
        return next((one for one in reversed(self.frames) if one.device), None)

    def first_elsewhere(self, time_s: float, device: str) -> float | None:
        """When another device than this one first answered after a time."""
        return next(
            (
                one.answered_s
                for one in self.frames
                if (one.answered_s or 0) > time_s and one.device not in ("", device)
            ),
            None,
        )

    def first_open(self, time_s: float) -> float:
        """When it sent the first frame after the last one that was answered before a time."""
        later = list(itertools.takewhile(lambda one: (one.answered_s or time_s) >= time_s, reversed(self.frames)))
        return later[-1].at_s if later else time_s

    def due_after(self, time_s: float, until_s: float) -> float:
        """When its next frame was due after the last one that was answered before `until_s`, at least `time_s`.

        It sends every `interval_s`, or at the pace of its last answers if the device asked for a slower one.
        """
        times = [one.answered_s for one in self.frames if one.answered_s is not None and one.answered_s < until_s]
        gaps = [after - before for before, after in itertools.pairwise(times[-4:])]
        return max([time_s, *times[-1:]]) + max([self.interval_s, *([median(gaps)] if gaps else [])])

    def unanswered(self, since_s: float, until_s: float) -> int:
        """Accepted frames of this time that were never answered. An agent does not say which of its were accepted."""
        return self.kind != "agent" and sum(
            one.accepted and not one.event for one in self.frames if since_s <= one.at_s < until_s
        )


class Plain:
    """python-socketio with its own way of connecting again, and nothing else."""

    def __init__(self, record: Record, picture: bytes) -> None:
        self.record, self._picture = record, picture
        self._client: Any = socketio.AsyncClient(handle_sigint=False)
        self._news = asyncio.Event()
        self._open: Sent | None = None
        for event in _ANSWERS:
            self._client.on(event, lambda payload, event=event: self._answered(event, payload))
        self._client.on("disconnect", lambda *_: self._news.set())

    async def run(self, url: str) -> None:
        name = self.record.name
        transport = "polling" if self.record.kind == "polling" else "websocket"
        while True:
            with contextlib.suppress(socketio.exceptions.ConnectionError):
                await self._client.connect(f"{url}?camera={name}", auth={"name": name}, transports=[transport])
                break
            await asyncio.sleep(0.5)
        try:
            while True:
                while not self._client.connected:  # its frame is due all the time
                    await asyncio.sleep(0.02)
                begun = time.monotonic()
                await self._send()
                await asyncio.sleep(max(0.02, self.record.interval_s - (time.monotonic() - begun)))
        finally:
            await self._client.shutdown()

    async def _send(self) -> None:
        self._open = sent = Sent(time.monotonic())
        self.record.frames.append(sent)
        self._news.clear()
        frame = {"image": self._picture, "frame_id": len(self.record.frames)}
        with contextlib.suppress(socketio.exceptions.SocketIOError, asyncio.TimeoutError):
            await self._client.emit("process_frame", frame, callback=lambda ack: self._accepted(sent, ack))
            while not sent.event and self._client.connected:
                await asyncio.wait_for(self._news.wait(), _PATIENCE_S)
                self._news.clear()

    def _accepted(self, sent: Sent, ack: Mapping[str, Any]) -> None:
        sent.accepted = ack["status"] in ("queued", "cached")

    def _answered(self, event: str, payload: Mapping[str, Any]) -> None:
        if self._open is not None and payload.get("frame_id") == len(self.record.frames):
            self._open.event, self._open.answered_s = event, time.monotonic()
            self._open.device, self._open.number = str(payload.get("model", "")), int(payload["frame_id"])
            self._news.set()


class AgentCamera:
    """The project's own agent."""

    def __init__(self, record: Record, picture: bytes) -> None:
        self.record, self._picture = record, picture

    def take(self, limits: CameraLimits) -> Capture | None:
        last = self.record.frames[-1].at_s if self.record.frames else 0.0
        time.sleep(max(0.0, min(2.0, last + self.record.interval_s - time.monotonic())))
        self.record.frames.append(Sent(time.monotonic(), accepted=True))
        return Capture(self._picture, time.monotonic())

    def close(self) -> None:
        pass

    async def run(self, url: str) -> None:
        async def find() -> str:
            return url

        await Agent(self, find=find, name=self.record.name, on_result=self._answered).run()

    def _answered(self, result: FrameResult) -> None:
        sent = self.record.frames[-1]
        sent.event, sent.answered_s = "detection_results", time.monotonic()
        sent.device, sent.number = str(result.payload["model"]), int(result.payload["frame_id"])


def cameras(count: int, interval_s: float, pictures: list[bytes]) -> list[Plain | AgentCamera]:
    """Half of them agents, a sixth clients that poll."""
    made: list[Plain | AgentCamera] = []
    for number in range(count):
        kind = "agent" if number % 2 else "polling" if number % 6 == 0 else "plain"
        record = Record(f"{kind}-{number:02}", kind, interval_s)
        picture = pictures[number % len(pictures)]
        made.append(AgentCamera(record, picture) if kind == "agent" else Plain(record, picture))
    return made
