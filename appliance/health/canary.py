"""The self-test: drawn stop signs go through the real path, and their boxes must come back."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from appliance.ports import Clock
from appliance.values import CanaryState, Detected, Failed, Frame, Outcome, ResultFilter
from appliance.vision import decode, scene, self_test

log = logging.getLogger(__name__)

CAMERA = "_canary"
_RETRY_S = 2.0
_MOST = 300


class Canary:
    """Asks at start until it is answered, then every `period_s` while no camera sends.

    `classes`: those of the model in use; none while there is none, and nothing to prove. `most`: objects that one
    answer of it can hold. `failed`: called after each failure, before the next try.
    """

    def __init__(
        self,
        *,
        ask: Callable[[Frame], Awaitable[Outcome]],
        idle: Callable[[], bool],
        classes: Callable[[], tuple[str, ...]],
        clock: Clock,
        period_s: float = 60.0,
        most: Callable[[], int] = lambda: _MOST,
        failed: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._ask, self._idle, self._classes, self._clock, self._period_s = ask, idle, classes, clock, period_s
        self._most, self._failed = most, failed
        self._numbers = itertools.count(1)
        self._known = self_test.image()
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
                if self.state.failures and self._failed is not None:
                    await self._failed()
            proved = self.state.proved and self.state.failures == 0
            await asyncio.sleep(self._period_s if proved else _RETRY_S)

    async def prove(self) -> CanaryState:
        """One try; the state after it."""
        number = next(self._numbers)
        # Another tail each time: the same bytes would be answered from the cache, which proves nothing.
        jpeg = self._known.jpeg + number.to_bytes(8, "big")
        picture = decode.read_header(jpeg, self_test.SIZE.width * self_test.SIZE.height)
        frame = Frame(CAMERA, CAMERA, number, picture, ResultFilter(self_test.CONFIDENCE), self._clock())
        outcome = await self._ask(frame)
        problem = self._problem(outcome)
        closing = isinstance(outcome, Failed) and outcome.code == "shutting_down"
        if isinstance(outcome, (Detected, Failed)) and not closing:
            self._note(problem, outcome)
        return self.state

    def _note(self, problem: str | None, outcome: Outcome) -> None:
        now = self._clock()
        if problem is None:
            infer_ms = outcome.timing.infer_ms if isinstance(outcome, Detected) else None
            known = scene.SIGN in self._classes()
            message = "the signs were found where they were drawn" if known else "the model ran; it knows no stop sign"
            self.state = CanaryState(True, message, now, infer_ms, 0)
        else:
            self.state = replace(self.state, message=problem, at_s=now, failures=self.state.failures + 1)
            log.error("canary failed: %s", problem, extra={"kind": "canary"})

    def _problem(self, outcome: Outcome) -> str | None:
        if isinstance(outcome, Failed):
            return outcome.message
        if not isinstance(outcome, Detected):
            return None  # skipped: the device is overloaded or too hot, which says nothing about what it sees
        if scene.SIGN not in self._classes():
            return None
        return self._known.problem(outcome.detections, outcome.input_size, self._most())
