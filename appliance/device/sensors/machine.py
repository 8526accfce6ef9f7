"""All sensors of the machine, read in rounds.

Rules of this file:
- Each group answers for itself (rounds.py); a reading is what all of them know now, each with its own time.
- What changes with the work is read every round, what does not every ten seconds.
- psutil gives what it can (memory, processor time, disk, network), and always of this machine; the rest is read from
  files under `root`.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from appliance.device.sensors import cpu, memory, power, storage, system, thermal, throttle
from appliance.device.sensors.threaded import Watched
from appliance.ports import Clock
from appliance.readings import Cpu, Memory, Power, Reading, Storage, System, Thermal

_SLOW_S = 10.0


class MachineSensors:
    """Implements Sensors. `disk` lies on the file system to watch; a round waits `patience_s` at most."""

    def __init__(
        self,
        *,
        root: Path = Path("/"),
        disk: Path = Path("/"),
        clock: Clock = time.monotonic,
        patience_s: float = 1.0,
    ) -> None:
        process, usage, seen = psutil.Process(), cpu.Usage(), throttle.Seen()
        self._clock, self._patience_s = clock, patience_s
        self._thermal = Watched(Thermal(), lambda: partial(thermal.read, thermal.find(root)), clock=clock)
        self._power = Watched(Power(), lambda: partial(power.read, power.find(root, clock), seen), clock=clock)
        self._memory = Watched(Memory(), lambda: partial(memory.read, memory.find(root), process), clock=clock)
        self._cpu = Watched(Cpu(), lambda: partial(cpu.read, cpu.find(root), usage), clock=clock)
        self._storage = Watched(
            Storage(), lambda: partial(storage.read, storage.find(disk, root)), clock=clock, period_s=_SLOW_S
        )
        self._system = Watched(System(), lambda: partial(system.read, root), clock=clock, period_s=_SLOW_S)

    def read(self) -> Reading:
        """One round. May be called from any thread, from one at a time."""
        groups: tuple[Watched[Any], ...] = (
            self._thermal, self._power, self._memory, self._cpu, self._storage, self._system
        )  # fmt: skip
        asked = [group for group in groups if group.ask()]
        until = time.monotonic() + self._patience_s
        for group in asked:
            group.wait(until - time.monotonic())
        heat, supply, space = self._thermal.answer(), self._power.answer(), self._memory.answer()
        work, disk, machine = self._cpu.answer(), self._storage.answer(), self._system.answer()
        why = {
            "thermal": heat.why,
            "power": supply.why,
            "memory": space.why,
            "cpu": work.why,
            "storage": disk.why,
            "system": machine.why,
        }
        return Reading(
            at_s=self._clock(),
            thermal=heat.group,
            power=supply.group,
            memory=space.group,
            cpu=work.group,
            storage=disk.group,
            system=machine.group,
            unknown={f"{name}.{field}": reason for name, whys in why.items() for field, reason in whys.items()},
        )
