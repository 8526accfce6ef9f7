"""The self-test: send a drawn test image through the whole detection path and check the result."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from appliance.health.facts import CanaryState
from appliance.ports import Clock
from appliance.values import Detected, Failed, Frame, Outcome, ResultFilter
from appliance.vision import decode, scene, self_test

log = logging.getLogger(__name__)

CAMERA = "_canary"
_RETRY_S, _PERIOD_S = 2.0, 60.0
_MOST = 300


class Canary:
    """Runs the self-test: repeatedly at startup until it passes, then every minute while no camera sends.

    `ask`: submits a frame and returns its outcome. `idle`: whether no camera sends. `classes`: of the model in use;
    empty without a model, and then no test runs. `most`: the model's maximum number of detections. `failed`: called
    after each failure, before the next attempt.
    """

    def __init__(
        self,
        *,
        ask: Callable[[Frame], Awaitable[Outcome]],
        idle: Callable[[], bool],
        classes: Callable[[], tuple[str, ...]],
        clock: Clock,
        most: Callable[[], int] = lambda: _MOST,
        failed: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._ask, self._idle, self._classes, self._clock = ask, idle, classes, clock
        self._most, self._failed = most, failed
        self._numbers = itertools.count(1)
        self._known = self_test.image()
        self.state = CanaryState()

    @property
    def ready(self) -> bool:
        """Whether the self-test has passed and has not failed three times in a row since."""
        return self.state.proved and self.state.failures < 3

    async def run(self) -> None:
        """Run the self-test until cancelled."""
        while True:
            if self._classes() and (not self.ready or self._idle()):
                await self.prove()
                if self.state.failures and self._failed is not None:
                    await self._failed()
            proved = self.state.proved and self.state.failures == 0
            await asyncio.sleep(_PERIOD_S if proved else _RETRY_S)

    async def prove(self) -> CanaryState:
        """Run the self-test once and return the new state."""
        number = next(self._numbers)
        # A different suffix each time: identical bytes would be answered from the cache, which proves nothing.
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
            message = "test image recognised" if known else "inference works (the model has no stop sign class)"
            self.state = CanaryState(True, message, now, infer_ms, 0)
        else:
            self.state = replace(self.state, message=problem, at_s=now, failures=self.state.failures + 1)
            log.error("self-test failed: %s", problem, extra={"kind": "canary"})

    def _problem(self, outcome: Outcome) -> str | None:
        if isinstance(outcome, Failed):
            return outcome.message
        if not isinstance(outcome, Detected):
            return None  # skipped: the device is overloaded or too hot, which says nothing about detection
        if scene.SIGN not in self._classes():
            return None
        return self._known.problem(outcome.detections, outcome.input_size, self._most())
