"""Notifications to the service manager: readiness, status, watchdog pings, and when the pings stop."""

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


class RecordingNotifier:
    """Records all notifications."""

    def __init__(self) -> None:
        self.messages: list[dict[str, str]] = []

    def notify(self, *words: str) -> None:
        lines = [line for word in words for line in word.splitlines()]
        self.messages.append(dict(line.split("=", 1) for line in lines))

    async def until(self, matches: Callable[[dict[str, str]], bool], times: int = 1) -> dict[str, str]:
        """Wait for the n-th new message that matches."""
        seen = len(self.messages)
        with anyio.fail_after(20):
            while True:
                for message in self.messages[seen:]:
                    seen += 1
                    times -= matches(message)
                    if not times:
                        return message
                await asyncio.sleep(0.001)


class Watched:
    """A service with its detector, self-test and recorded notifications."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.notifier, self.ready = rig, RecordingNotifier(), 0
        self.canary = Canary(
            ask=rig.detector.ask, idle=lambda: True, classes=lambda: ("person", "car", "stop sign"), clock=rig.clock
        )
        health = HealthRig(rig, canary=self.canary)
        self.governor, self.vitals = health.governor, health.vitals
        self.governor.reading = Reading(at_s=rig.clock(), thermal=Thermal(soc_temp_c=51.4))
        self.pulse = Pulse(self.notifier, self.vitals, ready=self._count, every_s=0.002, clock=rig.clock)

    def _count(self) -> None:
        self.ready += 1


@asynccontextmanager
async def watched(rig: Rig | None = None) -> AsyncIterator[Watched]:
    async with running(rig or Rig(FakeEngine(CANARY_ROWS), limits=FULL_SIDE)) as rig:
        service = Watched(rig)
        async with anyio.create_task_group() as group:
            group.start_soon(service.pulse.run)
            yield service
            group.cancel_scope.cancel()


def is_ping(message: dict[str, str]) -> bool:
    return "WATCHDOG" in message


def is_ready(message: dict[str, str]) -> bool:
    return "READY" in message


@pytest.mark.parametrize(("watchdog_s", "every_s"), [(None, 2.0), (30.0, 2.0), (3.0, 1.5), (0.2, 0.1)])
def test_at_least_two_pings_are_sent_in_each_watchdog_interval(watchdog_s: float | None, every_s: float) -> None:
    assert ping_every_s(watchdog_s) == every_s


async def test_ready_is_sent_once_after_the_self_test() -> None:
    async with watched() as service:
        await service.notifier.until(lambda message: "EXTEND_TIMEOUT_USEC" in message)
        assert not any(map(is_ready, service.notifier.messages))
        await service.canary.prove()
        message = await service.notifier.until(is_ping, times=3)
        assert message["STATUS"] == "ok: 0 cameras, 0.0 fps, 51 °C"
        assert sum(map(is_ready, service.notifier.messages)) == 1
        assert service.ready == 1


async def test_pings_continue_while_an_overheated_device_refuses_frames() -> None:
    async with watched() as service:
        await service.canary.prove()
        await service.notifier.until(is_ping)
        service.rig.detector.apply(replace(FULL_SIDE, admit=False))
        service.rig.clock.pass_(1000)
        refused = frame(at_s=service.rig.clock())
        await service.rig.detector.offer(refused)
        assert isinstance(await service.rig.outcome(refused), Skipped)
        await service.canary.prove()
        await service.notifier.until(is_ping, times=3)


async def test_a_device_that_is_too_hot_at_boot_still_runs_the_self_test() -> None:
    async with watched() as service:
        service.rig.detector.apply(replace(FULL_SIDE, admit=False))
        refused = frame()
        await service.rig.detector.offer(refused)
        assert isinstance(await service.rig.outcome(refused), Skipped)
        await service.canary.prove()
        await service.notifier.until(is_ready)


async def test_a_slow_start_requests_more_time() -> None:
    async with watched() as service:
        for _ in range(3):
            service.rig.clock.pass_(11)
            message = await service.notifier.until(lambda message: "EXTEND_TIMEOUT_USEC" in message)
            assert message["STATUS"].startswith("starting; ")
        assert not any(map(is_ready, service.notifier.messages))
        await service.canary.prove()
        await service.notifier.until(is_ready)


async def test_failing_frames_do_not_stop_the_pings() -> None:
    async with watched() as service:
        await service.canary.prove()
        service.rig.engine.error = RuntimeError("bad day")
        for seed in range(5):
            bad = frame(seed=seed)
            await service.rig.detector.offer(bad)
            assert isinstance(await service.rig.outcome(bad), Failed)
        message = await service.notifier.until(is_ping, times=3)
        assert message["STATUS"].startswith("critical (engine_failing): ")


async def test_pings_stop_while_a_frame_is_past_its_deadline() -> None:
    async with watched() as service:
        await service.canary.prove()
        service.rig.engine.hold()
        before = service.rig.engine.started
        await service.rig.detector.offer(frame(at_s=service.rig.clock()))
        await service.rig.started(before + 1)
        service.rig.clock.pass_(19)
        await service.notifier.until(is_ping, times=3)
        service.rig.clock.pass_(2)
        await service.notifier.until(lambda message: message.get("STATUS", "").startswith("stuck"))
        after = len(service.notifier.messages)
        await service.notifier.until(lambda _: True, times=10)
        assert not any(map(is_ping, service.notifier.messages[after:]))
        service.rig.engine.release()
        await service.notifier.until(is_ping)


async def test_an_engine_that_hangs_at_the_start_gets_no_more_time() -> None:
    async with watched() as service:
        service.rig.engine.hold()
        await service.rig.detector.offer(frame(at_s=service.rig.clock()))
        await service.rig.started(1)
        service.rig.clock.pass_(21)
        await asyncio.sleep(0.1)  # many intervals of its loop
        before = len(service.notifier.messages)
        service.rig.clock.pass_(60)
        await asyncio.sleep(0.1)
        assert len(service.notifier.messages) == before


async def test_a_model_that_fails_the_self_test_causes_safe_mode_and_no_restart() -> None:
    async with watched(Rig(FakeEngine(rows=()), limits=FULL_SIDE)) as service:
        for _ in range(2):
            await service.canary.prove()
        await asyncio.sleep(0.1)
        assert not any(map(is_ready, service.notifier.messages))
        await service.canary.prove()
        message = await service.notifier.until(is_ping)
        assert message["STATUS"].startswith("safe mode: the self-test failed")
        assert service.ready == 0
        assert not service.vitals.ready()


async def test_a_reload_before_the_service_is_ready_does_not_send_ready() -> None:
    async with watched() as service:
        service.pulse.reloading()
        service.pulse.reloaded()
        assert not any(map(is_ready, service.notifier.messages))
        await service.canary.prove()
        await service.notifier.until(is_ping)
        service.pulse.reloading()
        assert service.notifier.messages[-1] == {"RELOADING": "1", "MONOTONIC_USEC": f"{service.rig.clock() * 1e6:.0f}"}
        service.pulse.reloaded()
        assert is_ready(service.notifier.messages[-1])
