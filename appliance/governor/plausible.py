"""What a working machine can report: a value outside that range is unknown, like one that is missing.

Rules of this file:
- One comparison with both bounds rejects NaN and infinity as well.
- A value that is out of range by rounding only (100.3 %) counts as the bound.
"""

from __future__ import annotations

from dataclasses import replace

from appliance.readings import Cpu, Memory, Power, Reading, Thermal

_MIN_C, _MAX_C = -40.0, 130.0
_MAX_WATTS = 500.0
_MAX_MHZ = 100_000.0
_MAX_MS = 1e6
_MAX_COUNT = 2**62
_MAX_S = 1e10
"""300 years. Beyond it a second is lost in the rounding of a float."""


def plausible(reading: Reading) -> Reading:
    """Return the reading without values that no working machine reports."""
    return replace(
        reading, thermal=_thermal(reading.thermal), power=_power(reading.power), memory=_memory(reading.memory),
        cpu=_cpu(reading.cpu),
        engine_busy=_part(reading.engine_busy),
        frame_ms={side: ms for side, ms in reading.frame_ms.items() if _positive(ms, _MAX_MS) is not None},
    )  # fmt: skip


def time_s(at_s: float | None) -> float | None:
    """None for a time that no clock shows."""
    return _between(at_s, -_MAX_S, _MAX_S)


def chip_temp_c(temp_c: float | None) -> float | None:
    """None for a temperature outside a working chip's range, and for 0, which an unpowered sensor reports."""
    return _between(temp_c, _MIN_C, _MAX_C) or None


def _thermal(thermal: Thermal) -> Thermal:
    return replace(
        thermal, at_s=time_s(thermal.at_s), soc_temp_c=chip_temp_c(thermal.soc_temp_c),
        passive_temp_c=chip_temp_c(thermal.passive_temp_c), critical_temp_c=chip_temp_c(thermal.critical_temp_c),
        cooling=tuple(device for device in thermal.cooling if 0 <= device.state <= device.max_state),
    )  # fmt: skip


def _power(power: Power) -> Power:
    watts = {rail: value for rail, value in power.watts.items() if _positive(value, _MAX_WATTS) is not None}
    return replace(
        power, watts=watts, limit_w=_positive(power.limit_w, _MAX_WATTS), throttle_events=_count(power.throttle_events)
    )


def _memory(memory: Memory) -> Memory:
    return replace(
        memory, available_bytes=_count(memory.available_bytes), total_bytes=_count(memory.total_bytes),
        cgroup_used_bytes=_count(memory.cgroup_used_bytes), cgroup_limit_bytes=_count(memory.cgroup_limit_bytes),
        cgroup_high_bytes=_count(memory.cgroup_high_bytes), pressure_percent=_percent(memory.pressure_percent),
    )  # fmt: skip


def _cpu(cpu: Cpu) -> Cpu:
    return replace(
        cpu, percent=_percent(cpu.percent), own_percent=_percent(cpu.own_percent),
        gpu_percent=_percent(cpu.gpu_percent), mhz=_positive(cpu.mhz, _MAX_MHZ),
        limit_mhz=_positive(cpu.limit_mhz, _MAX_MHZ), work_ms=_positive(cpu.work_ms, _MAX_MS),
    )  # fmt: skip


def _percent(value: float | None) -> float | None:
    value = _between(value, -0.5, 100.5)
    return None if value is None else min(max(value, 0.0), 100.0)


def _part(value: float | None) -> float | None:
    value = _between(value, -0.005, 2.0)
    return None if value is None else min(max(value, 0.0), 1.0)


def _positive(value: float | None, most: float) -> float | None:
    return value if value is not None and 0 < value <= most else None


def _count(value: int | None) -> int | None:
    return value if value is not None and 0 <= value <= _MAX_COUNT else None


def _between(value: float | None, least: float, most: float) -> float | None:
    return value if value is not None and least <= value <= most else None
