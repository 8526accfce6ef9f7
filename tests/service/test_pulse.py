"""What the service manager hears, and when it hears nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
import pytest

from appliance.health.canary import Canary
from appliance.readings import Reading, Thermal
from appliance.service.pulse import Pulse, ping_every_s
from appliance.values import Failed, Skipped
from tests.fakes import CANARY_ROWS, FakeEngine
from tests.flow.detectors import FULL, Rig, running
from tests.flow.frames import frame
from tests.web.health_rig import HealthRig

FULL_SIDE = replace(FULL, max_side=640)


class Heard:
    """A Notifier that remembers."""

    def __init__(self) -> None:
        self.messages: list[dict[str, str]] = []

    def notify(self, *words: str) -> None:
        lines = [line for word in words for line in word.splitlines()]
        self.messages.append(dict(line.split("=", 1) for line in lines))

    async def until(self, says: Callable[[dict[str, str]], bool], times: int = 1) -> dict[str, str]:
        """The message that is the n-th from now on to say so."""
        seen = len(self.messages)
        with anyio.fail_after(20):
            while True:
                for message in self.messages[seen:]:
                    seen += 1
                    times -= says(message)
                    if not times:
                        return message
                await asyncio.sleep(0.001)


class Patient:
    """One service under watch: its detector, its canary, and all that was said."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.heard, self.ready = rig, Heard(), 0
        self.canary = Canary(
            ask=rig.detector.ask, idle=lambda: True, classes=lambda: ("person", "car", "stop sign"), clock=rig.clock
        )
        around = HealthRig(rig, canary=self.canary)
        self.governor, self.vitals = around.governor, around.vitals
        self.governor.reading = Reading(at_s=rig.clock(), thermal=Thermal(soc_temp_c=51.4))
        self.pulse = Pulse(self.heard, self.vitals, ready=self._count, every_s=0.002, clock=rig.clock)

    def _count(self) -> None:
        self.ready += 1


@asynccontextmanager
async def watched(rig: Rig | None = None) -> AsyncIterator[Patient]:
    async with running(rig or Rig(FakeEngine(CANARY_ROWS), limits=FULL_SIDE)) as rig:
        patient = Patient(rig)
        async with anyio.create_task_group() as group:
            group.start_soon(patient.pulse.run)
            yield patient
            group.cancel_scope.cancel()


def pings(message: dict[str, str]) -> bool:
    return "WATCHDOG" in message


def says_ready(message: dict[str, str]) -> bool:
    return "READY" in message


@pytest.mark.parametrize(("watchdog_s", "every_s"), [(None, 2.0), (30.0, 2.0), (3.0, 1.5), (0.2, 0.1)])
def test_the_ping_comes_at_least_twice_in_the_watchdogs_time(watchdog_s: float | None, every_s: float) -> None:
    assert ping_every_s(watchdog_s) == every_s


async def test_ready_comes_after_the_canary_and_is_said_once() -> None:
    async with watched() as patient:
        await patient.heard.until(lambda message: "EXTEND_TIMEOUT_USEC" in message)
        assert not any(map(says_ready, patient.heard.messages))
        await patient.canary.prove()
        message = await patient.heard.until(pings, times=3)
        assert message["STATUS"] == "ok: 0 cameras, 0.0 fps, 51 °C"
        assert sum(map(says_ready, patient.heard.messages)) == 1
        assert patient.ready == 1


async def test_a_box_too_hot_to_look_at_frames_keeps_its_ping() -> None:
    async with watched() as patient:
        await patient.canary.prove()
        await patient.heard.until(pings)
        patient.rig.detector.apply(replace(FULL_SIDE, admit=False))
        patient.rig.clock.pass_(1000)
        refused = frame(at_s=patient.rig.clock())
        await patient.rig.detector.offer(refused)
        assert isinstance(await patient.rig.outcome(refused), Skipped)
        await patient.canary.prove()
        await patient.heard.until(pings, times=3)


async def test_a_box_that_is_too_hot_when_it_boots_proves_its_sight_all_the_same() -> None:
    async with watched() as patient:
        patient.rig.detector.apply(replace(FULL_SIDE, admit=False))
        refused = frame()
        await patient.rig.detector.offer(refused)
        assert isinstance(await patient.rig.outcome(refused), Skipped)
        await patient.canary.prove()
        await patient.heard.until(says_ready)


async def test_a_start_that_takes_long_asks_for_more_time() -> None:
    async with watched() as patient:
        for _ in range(3):
            patient.rig.clock.pass_(11)
            message = await patient.heard.until(lambda message: "EXTEND_TIMEOUT_USEC" in message)
            assert message["STATUS"].startswith("starting; ")
        assert not any(map(says_ready, patient.heard.messages))
        await patient.canary.prove()
        await patient.heard.until(says_ready)


async def test_frames_that_fail_do_not_stop_the_ping() -> None:
    async with watched() as patient:
        await patient.canary.prove()
        patient.rig.engine.error = RuntimeError("bad day")
        for seed in range(5):
            bad = frame(seed=seed)
            await patient.rig.detector.offer(bad)
            assert isinstance(await patient.rig.outcome(bad), Failed)
        message = await patient.heard.until(pings, times=3)
        assert message["STATUS"].startswith("critical (engine_failing): ")


async def test_a_frame_past_its_deadline_stops_the_ping_until_it_comes_back() -> None:
    async with watched() as patient:
        await patient.canary.prove()
        patient.rig.engine.hold()
        begun = patient.rig.engine.started
        await patient.rig.detector.offer(frame(at_s=patient.rig.clock()))
        await patient.rig.started(begun + 1)
        patient.rig.clock.pass_(19)
        await patient.heard.until(pings, times=3)
        patient.rig.clock.pass_(2)
        await patient.heard.until(lambda message: message.get("STATUS", "").startswith("stuck"))
        after = len(patient.heard.messages)
        await patient.heard.until(lambda _: True, times=10)
        assert not any(map(pings, patient.heard.messages[after:]))
        patient.rig.engine.release()
        await patient.heard.until(pings)


async def test_an_engine_that_hangs_at_the_start_is_given_no_more_time() -> None:
    async with watched() as patient:
        patient.rig.engine.hold()
        await patient.rig.detector.offer(frame(at_s=patient.rig.clock()))
        await patient.rig.started(1)
        patient.rig.clock.pass_(21)
        await asyncio.sleep(0.1)  # several looks of its loop
        asked = len(patient.heard.messages)
        patient.rig.clock.pass_(60)
        await asyncio.sleep(0.1)
        assert len(patient.heard.messages) == asked


async def test_a_model_that_sees_wrongly_is_safe_mode_and_not_a_restart() -> None:
    async with watched(Rig(FakeEngine(rows=()), limits=FULL_SIDE)) as patient:
        for _ in range(2):
            await patient.canary.prove()
        await asyncio.sleep(0.1)
        assert not any(map(says_ready, patient.heard.messages))
        await patient.canary.prove()
        message = await patient.heard.until(pings)
        assert message["STATUS"].startswith("safe mode: the self-test failed")
        assert patient.ready == 0
        assert not patient.vitals.ready()


async def test_a_reload_before_the_box_is_ready_says_nothing_of_ready() -> None:
    async with watched() as patient:
        patient.pulse.reloading()
        patient.pulse.reloaded()
        assert not any(map(says_ready, patient.heard.messages))
        await patient.canary.prove()
        await patient.heard.until(pings)
        patient.pulse.reloading()
        assert patient.heard.messages[-1] == {"RELOADING": "1", "MONOTONIC_USEC": f"{patient.rig.clock() * 1e6:.0f}"}
        patient.pulse.reloaded()
        assert says_ready(patient.heard.messages[-1])
