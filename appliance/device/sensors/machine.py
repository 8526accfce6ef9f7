"""All sensors of the machine, read in rounds.

Rules of this file:
- Each group is read in its own thread (threaded.py). A reading combines the latest values of all groups, each with its
  own time.
- Values that change with the load are read every round, others every ten seconds.
- psutil supplies memory, CPU time, disk and network, always of this machine. Everything else comes from files under
  `root`.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from appliance.device.sensors import cpu, memory, power, storage, system, thermal, throttle
from appliance.device.sensors.threaded import ThreadedGroup
from appliance.device.sensors.work import Work, fast_cpus
from appliance.ports import Clock
from appliance.readings import Cpu, Memory, Power, Reading, Storage, System, Thermal

_SLOW_S = 10.0


class MachineSensors:
    """Implements Sensors. `disk`: a path on the file system to monitor. A round takes at most `patience_s`."""

    def __init__(
        self,
        *,
        root: Path = Path("/"),
        disk: Path = Path("/"),
        clock: Clock = time.monotonic,
        patience_s: float = 1.0,
    ) -> None:
        process, usage, history = psutil.Process(), cpu.CpuUsage(), throttle.ThrottleHistory()
        work = Work(clock, fast_cpus(root))
        self._clock, self._patience_s = clock, patience_s
        self._thermal = ThreadedGroup(Thermal(), lambda: partial(thermal.read, thermal.find(root)), clock=clock)
        self._power = ThreadedGroup(Power(), lambda: partial(power.read, power.find(root, clock), history), clock=clock)
        self._memory = ThreadedGroup(Memory(), lambda: partial(memory.read, memory.find(root), process), clock=clock)
        self._cpu = ThreadedGroup(Cpu(), lambda: partial(cpu.read, cpu.find(root), usage, work), clock=clock)
        self._storage = ThreadedGroup(
            Storage(), lambda: partial(storage.read, storage.find(disk, root)), clock=clock, period_s=_SLOW_S
        )
        self._system = ThreadedGroup(System(), lambda: partial(system.read, root), clock=clock, period_s=_SLOW_S)

    def read(self) -> Reading:
        """Read all groups once. May be called from any thread, but not concurrently."""
        groups: tuple[ThreadedGroup[Any], ...] = (
            self._thermal, self._power, self._memory, self._cpu, self._storage, self._system
        )  # fmt: skip
        started = [group for group in groups if group.start()]
        deadline_s = time.monotonic() + self._patience_s
        for group in started:
            group.wait(deadline_s - time.monotonic())
        thermal_now, power_now, memory_now = self._thermal.latest(), self._power.latest(), self._memory.latest()
        cpu_now, storage_now, system_now = self._cpu.latest(), self._storage.latest(), self._system.latest()
        reasons = {
            "thermal": thermal_now.why,
            "power": power_now.why,
            "memory": memory_now.why,
            "cpu": cpu_now.why,
            "storage": storage_now.why,
            "system": system_now.why,
        }
        return Reading(
            at_s=self._clock(),
            thermal=thermal_now.group,
            power=power_now.group,
            memory=memory_now.group,
            cpu=cpu_now.group,
            storage=storage_now.group,
            system=system_now.group,
            unknown={f"{name}.{field}": reason for name, why in reasons.items() for field, reason in why.items()},
        )
