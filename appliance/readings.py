"""Sensor readings: values with a time, and a reason for each unknown value.

Rules of this file:
- An unknown value is None, never a placeholder number. `Reading.unknown` contains the reason, by "group.field".
- Each group has its own time: a slow or hung sensor does not delay the others, and the age of its values is visible.
- Percentages are 0-100, temperatures are in °C, sizes in bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TripPoint:
    """A temperature at which the kernel acts (Documentation/driver-api/thermal/sysfs-api.rst)."""

    kind: str
    """`active`: a fan starts; `passive`: the chip throttles; `hot`; `critical`: the machine shuts down."""
    temp_c: float
    hysteresis_c: float | None = None


@dataclass(frozen=True, slots=True)
class Zone:
    """One thermal zone of the kernel."""

    name: str
    temp_c: float | None
    trips: tuple[TripPoint, ...] = ()


@dataclass(frozen=True, slots=True)
class CoolingDevice:
    """A fan, or a processor that the kernel can throttle: 0 is off, `max_state` the maximum."""

    name: str
    state: int
    max_state: int


@dataclass(frozen=True, slots=True)
class Thermal:
    """Temperatures, and the cooling by kernel and firmware."""

    at_s: float | None = None
    """Monotonic time of the last reading of this group; None: never."""
    soc_temp_c: float | None = None
    passive_temp_c: float | None = None
    """The lowest trip point at which kernel or firmware throttles the chip."""
    critical_temp_c: float | None = None
    """The lowest trip point at which they shut the machine down."""
    zones: tuple[Zone, ...] = ()
    cooling: tuple[CoolingDevice, ...] = ()


@dataclass(frozen=True, slots=True)
class Power:
    """The power supply, and whether the chip is throttled: now, and at any time since boot.

    For the past, True is certain. None may mean "not seen": a Raspberry Pi's kernel clears the past.
    """

    at_s: float | None = None
    under_voltage: bool | None = None
    under_voltage_since_boot: bool | None = None
    frequency_capped: bool | None = None
    frequency_capped_since_boot: bool | None = None
    throttled: bool | None = None
    throttled_since_boot: bool | None = None
    soft_limit: bool | None = None
    """The Raspberry Pi's soft temperature limit is active."""
    soft_limit_since_boot: bool | None = None
    throttle_events: int | None = None
    """Throttle events of an Intel CPU since boot."""
    watts: Mapping[str, float] = field(default_factory=dict)
    """Power by rail, W."""
    limit_w: float | None = None
    """The chip's sustained power limit, W."""
    mode: str | None = None
    """Power mode of a Jetson (nvpmodel)."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of the machine, of this process, and of its control group."""

    at_s: float | None = None
    available_bytes: int | None = None
    total_bytes: int | None = None
    swap_used_bytes: int | None = None
    swap_total_bytes: int | None = None
    resident_bytes: int | None = None
    """Resident memory of this process."""
    cgroup_used_bytes: int | None = None
    """Memory that counts against the limit and cannot be reclaimed: without the file cache."""
    cgroup_cache_bytes: int | None = None
    cgroup_limit_bytes: int | None = None
    """Hard limit; also None if there is none."""
    cgroup_high_bytes: int | None = None
    """Soft limit, above which the kernel stalls the group and reclaims memory; also None if there is none."""
    pressure_percent: float | None = None
    """Part of the last 10 s in which some task waited for memory (PSI)."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU usage and frequency."""

    at_s: float | None = None
    percent: float | None = None
    """Usage of all CPUs together."""
    own_percent: float | None = None
    """Usage of all CPUs together by this service."""
    mhz: float | None = None
    max_mhz: float | None = None
    load_1m: float | None = None
    pressure_percent: float | None = None
    """Part of the last 10 s in which some task waited for a CPU (PSI)."""
    gpu_percent: float | None = None
    limit_mhz: float | None = None
    """The highest frequency that the system allows now: below `max_mhz` in a power mode or with a cap."""
    work_ms: float | None = None
    """CPU time of a small fixed piece of work. It shows the real clock; a Raspberry Pi's kernel reports only the
    frequency that it asked for."""


@dataclass(frozen=True, slots=True)
class Storage:
    """The file system with models and state, and the card or disk under it."""

    at_s: float | None = None
    free_bytes: int | None = None
    total_bytes: int | None = None
    read_only: bool | None = None
    wear_percent: float | None = None
    """Used part of its life that an eMMC or SD card reports, rounded up."""
    reserve_low: bool | None = None
    """Whether the card has used most of its spare blocks."""


@dataclass(frozen=True, slots=True)
class NetworkInterface:
    """One network interface, except the loopback."""

    name: str
    up: bool
    received_bytes: int
    sent_bytes: int
    errors: int


@dataclass(frozen=True, slots=True)
class System:
    """The machine as a whole."""

    at_s: float | None = None
    uptime_s: float | None = None
    clock_synchronised: bool | None = None
    """Whether the kernel's clock is synchronised with a time server."""
    links: tuple[NetworkInterface, ...] = ()


@dataclass(frozen=True, slots=True)
class Doubts:
    """What the sensors' values contradict; `governor/doubt.py` judges it over time."""

    stuck_temp_c: float | None = None
    """What the temperature sensor reports whatever the load; `thermal.soc_temp_c` is then None."""
    slowed: bool = False
    """The busy chip is clearly slower than it was, although the board may not report throttling."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of all sensors."""

    at_s: float
    """Monotonic time at which the reading ended."""
    thermal: Thermal = field(default_factory=Thermal)
    power: Power = field(default_factory=Power)
    memory: Memory = field(default_factory=Memory)
    cpu: Cpu = field(default_factory=Cpu)
    storage: Storage = field(default_factory=Storage)
    system: System = field(default_factory=System)
    unknown: Mapping[str, str] = field(default_factory=dict)
    """Why a value is None, by "group.field": `thermal.soc_temp_c`: "no temperature sensor found for the chip"."""
    frame_ms: Mapping[int, float] = field(default_factory=dict)
    """Engine time of a frame, ms, by the longest side of the input, px: what the service measured lately. Empty: not
    known."""
    engine_busy: float | None = None
    """Part of the engine's time that was used since the last reading, 0-1: at a duty of 0.5 it is 0.5 while cameras
    send all that they may. None: not known; it is then inferred from CPU use, which takes minutes."""
    doubts: Doubts = field(default_factory=Doubts)


@dataclass(frozen=True, slots=True)
class Board:
    """The identity of this machine according to device tree or DMI."""

    name: str | None = None
    revision: str | None = None
    serial: str | None = None
