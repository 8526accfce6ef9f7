"""What happens to the site: everything that the documentation promises to survive, once for each round."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.site.trial.lab import Device
from tests.site.trial.stage import Stage

_DEAD_S, _MOVED_S, _FRONT_S = 5.0, 3.0, 8.0
_HOT_C = 74.0
_SETTLED_S = 65.0
"""After this time cameras of a device that has just started may move."""
_HOT_WITHIN_S = 120.0
_HANGS_S = 10.0

Scene = Callable[[Stage, Device, Device, Device], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Program:
    """What is played. `minutes`: rounds begin and scenes follow for this time, at least one round.

    `only`: scenes whose function has one of these words, separated by commas, in its name. `first`: the first round.
    """

    minutes: float
    only: str
    first: int


async def play(stage: Stage, program: Program) -> None:
    """Play all scenes, each round with the devices in other parts."""
    until, number = time.monotonic() + program.minutes * 60, program.first
    while number == program.first or time.monotonic() < until:
        devices = stage.site.devices[number % 3 :] + stage.site.devices[: number % 3]
        for scene in SCENES:
            chosen = any(word in scene.__name__ for word in program.only.split(","))
            if chosen and (number == program.first or time.monotonic() < until):
                await scene(stage, *devices)
        number += 1


async def killed(stage: Stage, one: Device, two: Device, three: Device) -> None:
    await stage.gone_from(f"killed: {one.name}", one, one.kill, limit_s=_DEAD_S)
    await stage.blocking(one.start)


async def drained(stage: Stage, one: Device, two: Device, three: Device) -> None:
    await stage.gone_from(f"drained: {two.name}", two, two.control.drain, limit_s=_MOVED_S, moved=True)
    await stage.blocking(two.control.undrain)


async def frozen(stage: Stage, one: Device, two: Device, three: Device) -> None:
    await stage.gone_from(f"frozen: {three.name}", three, lambda: three.signal(signal.SIGSTOP), limit_s=_DEAD_S)
    await stage.blocking(lambda: three.signal(signal.SIGCONT))


async def cut_off(stage: Stage, one: Device, two: Device, three: Device) -> None:
    if not stage.site.namespaced:
        print("cable pulled: SKIPPED, needs network namespaces (root)", flush=True)
        return
    await stage.gone_from(f"cable pulled: {one.name}", one, lambda: one.unplug(True), limit_s=_DEAD_S)
    await stage.blocking(lambda: one.unplug(False))


async def front_restarted(stage: Stage, one: Device, two: Device, three: Device) -> None:
    def act() -> None:
        stage.site.stop_front()
        stage.site.start_front()

    await stage.all_back("front restarted", act, limit_s=_FRONT_S)


async def rolling_update(stage: Stage, one: Device, two: Device, three: Device) -> None:
    for device in (one, two, three):

        def act(device: Device = device) -> None:
            device.signal(signal.SIGTERM)

        scene = f"stopped for an update: {device.name}"
        await stage.gone_from(scene, device, act, limit_s=_MOVED_S, moved=True)
        await stage.blocking(device.stop)
        await stage.blocking(device.start)


async def bus_server_killed(stage: Stage, one: Device, two: Device, three: Device) -> None:
    await stage.undisturbed(f"bus server killed: {two.name}", two.stop_bus, 8)
    await stage.undisturbed("  and started again", lambda: two.start_bus(stage.site), 5)


async def bus_server_hangs(stage: Stage, one: Device, two: Device, three: Device) -> None:
    await stage.undisturbed(f"bus server hangs: {three.name}", three.freeze_bus, _HANGS_S)

    def act() -> None:
        three.stop_bus()
        three.start_bus(stage.site)

    await stage.undisturbed("  and is restarted", act, 5)


async def bus_restarted(stage: Stage, one: Device, two: Device, three: Device) -> None:
    def act() -> None:
        for device in stage.site.devices:
            device.stop_bus()
        for device in stage.site.devices:
            device.start_bus(stage.site)

    await stage.undisturbed("all bus servers restarted", act, 8)


async def hot(stage: Stage, one: Device, two: Device, three: Device) -> None:
    """The board with the most cameras gets hot and cool again."""
    await asyncio.sleep(_SETTLED_S)
    device = stage.site.device(max(stage.counts(), key=lambda name: stage.counts()[name]))
    await stage.asked_to_go(
        f"hot: {device.name}", device, lambda: device.ambient(_HOT_C), "hot", limit_s=_MOVED_S, within_s=_HOT_WITHIN_S
    )
    device.cool()


SCENES: tuple[Scene, ...] = (
    killed, drained, frozen, cut_off, front_restarted, rolling_update, bus_server_killed, bus_server_hangs,
    bus_restarted, hot,
)  # fmt: skip
