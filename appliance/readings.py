"""What the sensors say: values with a time, and for what cannot be known the reason.

Rules of this file:
- None is unknown, never a number that stands for it. `Reading.unknown` says why, by "group.field".
- Each group has its own time: a slow or hung sensor leaves the others fresh, and its own value shows its age.
- Percentages are 0-100, temperatures °C, all sizes bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TripPoint:
    """A temperature at which the kernel does something (Documentation/driver-api/thermal/sysfs-api.rst)."""

    kind: str
    """`active`: a fan; `passive`: the chip is slowed down; `hot`; `critical`: the machine goes off."""
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
    """A fan, or a processor that the kernel can slow down: 0 is off, `max_state` all it can do."""

    name: str
    state: int
    max_state: int


@dataclass(frozen=True, slots=True)
class Thermal:
    """Heat, and what is done about it by others than us."""

    at_s: float | None = None
    """Monotonic, when this group was last read; None: never."""
    soc_temp_c: float | None = None
    passive_temp_c: float | None = None
    """The lowest trip point at which kernel or firmware slows the chip down."""
    critical_temp_c: float | None = None
    """The lowest at which they switch it off."""
    zones: tuple[Zone, ...] = ()
    cooling: tuple[CoolingDevice, ...] = ()


@dataclass(frozen=True, slots=True)
class Power:
    """The supply, and whether the chip is held back: now and at any time since the board started.

    Of the past, True is certain, and None may be "not as far as we saw": a Raspberry Pi's kernel forgets it.
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
    """Times that an Intel chip slowed itself down since it started."""
    watts: Mapping[str, float] = field(default_factory=dict)
    """Power by rail, W."""
    limit_w: float | None = None
    """The chip's sustained power limit, W."""
    mode: str | None = None
    """A Jetson's nvpmodel."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Of the machine, of this process, and of the control group that may end it."""

    at_s: float | None = None
    available_bytes: int | None = None
    total_bytes: int | None = None
    swap_used_bytes: int | None = None
    swap_total_bytes: int | None = None
    resident_bytes: int | None = None
    """This process."""
    cgroup_used_bytes: int | None = None
    """What counts against the limit and cannot be dropped: without the file cache."""
    cgroup_cache_bytes: int | None = None
    cgroup_limit_bytes: int | None = None
    """None also where there is no limit."""
    cgroup_high_bytes: int | None = None
    """Above it the kernel slows the group down and takes its memory back; None also where there is no such limit."""
    pressure_percent: float | None = None
    """Of the last 10 s in which some task waited for memory (PSI)."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """The processors' use and pace."""

    at_s: float | None = None
    percent: float | None = None
    """Of all processors together."""
    own_percent: float | None = None
    """Of all processors together, by this service."""
    mhz: float | None = None
    max_mhz: float | None = None
    load_1m: float | None = None
    pressure_percent: float | None = None
    """Of the last 10 s in which some task waited for a processor (PSI)."""
    gpu_percent: float | None = None


@dataclass(frozen=True, slots=True)
class Storage:
    """The file system that holds models and state, and the card or disk under it."""

    at_s: float | None = None
    free_bytes: int | None = None
    total_bytes: int | None = None
    read_only: bool | None = None
    wear_percent: float | None = None
    """Of its life that an eMMC or SD card says is used up, at most."""
    reserve_low: bool | None = None
    """The card has used up most of the blocks that it holds back to replace worn ones."""


@dataclass(frozen=True, slots=True)
class Link:
    """One network interface that is not the loopback."""

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
    """The kernel's clock follows a time server."""
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """One round over all sensors."""

    at_s: float
    """Monotonic, when the round ended."""
    thermal: Thermal = field(default_factory=Thermal)
    power: Power = field(default_factory=Power)
    memory: Memory = field(default_factory=Memory)
    cpu: Cpu = field(default_factory=Cpu)
    storage: Storage = field(default_factory=Storage)
    system: System = field(default_factory=System)
    unknown: Mapping[str, str] = field(default_factory=dict)
    """Why a value is None, by "group.field": `thermal.soc_temp_c`: "this machine has no temperature sensor"."""


@dataclass(frozen=True, slots=True)
class Board:
    """What this machine is, as device tree or DMI say."""

    name: str | None = None
    revision: str | None = None
    serial: str | None = None
