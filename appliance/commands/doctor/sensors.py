"""Check temperature, power supply, disk, memory and clock by the sensors."""

from __future__ import annotations

import time
from collections.abc import Iterator

from appliance.commands.doctor.check_result import CheckResult
from appliance.governor.memory import room_bytes
from appliance.health.checks.storage import LEAST_FREE_BYTES, WORN_PERCENT
from appliance.readings import Reading

_ENOUGH_MEMORY_BYTES = 300_000_000
_CLOCK_VALID_AFTER = 1_700_000_000
"""November 2023. A board without a clock battery boots in 1970 or at the build time of its image."""


def of_reading(reading: Reading) -> Iterator[CheckResult]:
    """One result per sensor group."""
    for check in (_temperature, _power, _disk, _memory, _clock):
        yield check(reading)


def _temperature(reading: Reading) -> CheckResult:
    temp_c, throttle_c = reading.thermal.soc_temp_c, reading.thermal.passive_temp_c
    if temp_c is None:
        return CheckResult(
            "temperature", None, f"unknown, so the governor cannot limit it: {_why(reading, 'thermal.soc_temp_c')}"
        )
    limit = "" if throttle_c is None else f"; the chip throttles at {throttle_c:.0f} °C"
    return CheckResult(
        "temperature",
        throttle_c is None or temp_c < throttle_c,
        f"{temp_c:.0f} °C{limit}",
        "Improve the cooling: shade, airflow. Check that the fan is running.",
    )


def _power(reading: Reading) -> CheckResult:
    power = reading.power
    fix = "Use the power supply made for this board and a short cable. Unplug USB devices that it powers."
    if power.under_voltage:
        return CheckResult("power", False, "under-voltage", fix)
    if power.under_voltage_since_boot:
        return CheckResult("power", False, "under-voltage at least once since the board started", fix)
    if power.under_voltage is None:
        return CheckResult("power", None, f"unknown: {_why(reading, 'power.under_voltage')}")
    return CheckResult("power", True, "no under-voltage")


def _disk(reading: Reading) -> CheckResult:
    storage = reading.storage
    if storage.free_bytes is None:
        return CheckResult("disk", None, f"unknown: {_why(reading, 'storage.free_bytes')}")
    worn = "" if storage.wear_percent is None else f", up to {storage.wear_percent:.0f} % worn"
    text = f"{storage.free_bytes / 1e9:.1f} GB free{worn}"
    if storage.read_only:
        return CheckResult(
            "disk",
            False,
            f"{text}; read-only",
            "Mount it read-write. If that fails, the card may be worn out: replace it.",
        )
    if storage.reserve_low or (storage.wear_percent or 0) >= WORN_PERCENT:
        return CheckResult("disk", False, f"{text}; worn out", "Back up the card and replace it soon.")
    return CheckResult(
        "disk",
        storage.free_bytes > LEAST_FREE_BYTES,
        text,
        f"Free up space: at least {LEAST_FREE_BYTES // 1_000_000} MB.",
    )


def _memory(reading: Reading) -> CheckResult:
    memory = reading.memory
    if memory.available_bytes is None:
        return CheckResult("memory", None, f"unknown: {_why(reading, 'memory.available_bytes')}")
    room = room_bytes(memory) or 0
    text = f"{memory.available_bytes / 1e9:.1f} GB available"
    if memory.cgroup_limit_bytes is not None:
        text += f", {room / 1e9:.1f} GB within the memory limit of the control group"
    return CheckResult(
        "memory",
        room > _ENOUGH_MEMORY_BYTES,
        text,
        "The service needs about 250 MB. Stop other programs or raise its memory limit.",
    )


def _clock(reading: Reading) -> CheckResult:
    now = time.time()
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    synchronised = {True: ", synchronised", False: ", not synchronised with a time server", None: ""}
    return CheckResult(
        "clock",
        now > _CLOCK_VALID_AFTER,
        shown + synchronised[reading.system.clock_synchronised],
        "Allow access to an NTP server (UDP port 123) and run `timedatectl set-ntp true`.",
    )


def _why(reading: Reading, field: str) -> str:
    return reading.unknown.get(field, "no reason known")
