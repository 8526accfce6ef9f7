"""The proof that the box sees: a drawn STOP sign goes through the real path, and its box must come back."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from appliance.ports import Clock
from appliance.values import Box, CanaryState, Detected, Failed, Frame, Outcome, Size, Wanted
from appliance.vision import decode, scene

log = logging.getLogger(__name__)

CAMERA = "_canary"
_SIZE = Size(1280, 720)
_IOU = 0.5
_RETRY_S = 2.0


class Canary:
    """Asks at start until it is answered, then every `period_s` while no camera sends.

    `classes`: those of the model in use; none while there is none, and nothing to prove.
    """

    def __init__(
        self,
        *,
        ask: Callable[[Frame], Awaitable[Outcome]],
        idle: Callable[[], bool],
        classes: Callable[[], tuple[str, ...]],
        clock: Clock,
        period_s: float = 60.0,
    ) -> None:
        self._ask, self._idle, self._classes, self._clock, self._period_s = ask, idle, classes, clock, period_s
        self._numbers = itertools.count(1)
        pixels, self._box_px = scene.draw(_SIZE, at=0.5)
        self._jpeg = decode.encode_jpeg(pixels, 85)
        self.state = CanaryState()

    @property
    def ready(self) -> bool:
        """Proved, and not lost since."""
        return self.state.proved and self.state.failures < 3

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            if self._classes() and (not self.ready or self._idle()):
                await self.prove()
            proved = self.state.proved and self.state.failures == 0
            await asyncio.sleep(self._period_s if proved else _RETRY_S)

    async def prove(self) -> CanaryState:
        """One try; the state after it."""
        number = next(self._numbers)
        # Another tail each time: the same bytes would be answered from the cache, which proves nothing.
        picture = decode.read_header(self._jpeg + number.to_bytes(8, "big"), _SIZE.width * _SIZE.height)
        frame = Frame(CAMERA, CAMERA, number, picture, Wanted(0.25), self._clock())
        outcome = await self._ask(frame)
        problem = _problem(outcome, self._box_px, scene.SIGN in self._classes())
        closing = isinstance(outcome, Failed) and outcome.code == "shutting_down"
        if isinstance(outcome, (Detected, Failed)) and not closing:
            self._note(problem, outcome)
        return self.state

    def _note(self, problem: str | None, outcome: Outcome) -> None:
        now = self._clock()
        if problem is None:
            infer_ms = outcome.timing.infer_ms if isinstance(outcome, Detected) else None
            known = scene.SIGN in self._classes()
            message = "the sign was found where it was drawn" if known else "the model ran; it knows no stop sign"
            self.state = CanaryState(True, message, now, infer_ms, 0)
        else:
            self.state = replace(self.state, message=problem, at_s=now, failures=self.state.failures + 1)
            log.error("canary failed: %s", problem, extra={"kind": "canary"})


def _problem(outcome: Outcome, box_px: Box, knows_sign: bool) -> str | None:
    if isinstance(outcome, Failed):
        return outcome.message
    if not isinstance(outcome, Detected):
        return None  # skipped: the box is overloaded or too hot, which says nothing about its sight
    if not knows_sign:
        return None
    best = max((_iou(found.box_px, box_px) for found in outcome.detections if found.name == scene.SIGN), default=0.0)
    if best >= _IOU:
        return None
    return f"the drawn stop sign was not found (best overlap {best:.2f}, {len(outcome.detections)} detections)"


def _iou(a: Box, b: Box) -> float:
    width = min(a.x2, b.x2) - max(a.x1, b.x1)
    height = min(a.y2, b.y2) - max(a.y1, b.y1)
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1) - both)
