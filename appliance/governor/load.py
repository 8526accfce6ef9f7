"""The load of one reading, in the unit of the heat model.

Rules of this file:
- The load is the board's power if that is measured, else the use of CPU and GPU. If that is unknown, it is computed
  from the duty.
- The model of one unit says nothing of the other. So a power that is missing for a moment is computed from what this
  service used since, and one that is there for a moment is not used.
"""

from __future__ import annotations

from dataclasses import replace

from appliance.governor.heat import Heat, Load
from appliance.readings import Cpu, Reading

_OTHER_UNIT_S = 60.0
"""A board that reports its power, or none, for this long is believed to go on like that."""


def load_of(reading: Reading, heat: Heat, duty: float, full: float, other_unit_s: float) -> tuple[Load, float]:
    """Return the load, and how long the board has been reporting another unit than that of the model, s.

    `duty`: what was allowed until now, 0-1. `full`: CPU use of this service at full duty, 0-1. `other_unit_s`: that
    time so far, if this reading is in another unit as well.
    """
    used = _used(reading.cpu, duty, full)
    watts = max(reading.power.watts.values(), default=0.0)  # the input's rail is the largest: it feeds all others
    measured = replace(used, drive=watts, in_watts=True) if watts > 0 else used
    if heat.at_s is None or measured.in_watts == heat.in_watts or other_unit_s >= _OTHER_UNIT_S:
        return measured, 0.0
    if not heat.in_watts:
        return used, other_unit_s
    since = heat.drive_per_own * (used.own - heat.own)
    return replace(used, drive=max(0.0, heat.drive + since), in_watts=True), other_unit_s


def used_by_others(cpu: Cpu) -> float | None:
    """CPU use by other programs, 0-1; None: unknown."""
    if cpu.percent is None or cpu.own_percent is None:
        return None
    return max(cpu.percent - cpu.own_percent, 0.0) / 100


def _used(cpu: Cpu, duty: float, full: float) -> Load:
    """The use of CPU and GPU."""
    total = cpu.percent if cpu.percent is not None else cpu.own_percent
    own = cpu.own_percent if cpu.own_percent is not None else total
    if total is None or own is None:
        own = total = 100 * duty * full
        idle = 1.0
    else:
        idle = max(0.0, 1.0 - max(own, total) / 100)
    return Load((max(own, total) + (cpu.gpu_percent or 0.0)) / 100, min(own, total) / 100, idle=idle, full=full)
