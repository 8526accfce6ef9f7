"""What the sensors say of heat, supply, disk, memory and clock, as the doctor's lines."""

from __future__ import annotations

import time
from collections.abc import Iterator

from appliance.commands.doctor.check import Check
from appliance.governor.memory import room_bytes
from appliance.health.checks.storage import LEAST_FREE_BYTES, WORN_PERCENT
from appliance.readings import Reading

_ENOUGH_MEMORY = 300_000_000
_CLOCK_IS_SANE_AFTER = 1_700_000_000
"""November 2023: a board without a clock boots in 1970, or where its image was made."""


def of_reading(reading: Reading) -> Iterator[Check]:
    """A line for each."""
    for check in (_temperature, _supply, _disk, _memory, _clock):
        yield check(reading)


def _temperature(reading: Reading) -> Check:
    temp_c, slows_c = reading.thermal.soc_temp_c, reading.thermal.passive_temp_c
    if temp_c is None:
        return Check("temperature", True, f"unknown, so heat cannot be governed: {_why(reading, 'thermal.soc_temp_c')}")
    bound = "" if slows_c is None else f"; the chip slows itself down at {slows_c:.0f} °C"
    return Check("temperature", slows_c is None or temp_c < slows_c, f"{temp_c:.0f} °C{bound}",
                 "Give the box shade or air, and look whether its fan turns.")  # fmt: skip


def _supply(reading: Reading) -> Check:
    power = reading.power
    do = "Use the power supply made for this board, and a short cable; unplug what it feeds over USB."
    if power.under_voltage:
        return Check("supply", False, "the voltage is too low", do)
    if power.under_voltage_since_boot:
        return Check("supply", False, "the voltage was too low at least once since the board started", do)
    if power.under_voltage is None:
        return Check("supply", True, f"unknown: {_why(reading, 'power.under_voltage')}")
    return Check("supply", True, "the voltage holds")


def _disk(reading: Reading) -> Check:
    storage = reading.storage
    if storage.free_bytes is None:
        return Check("disk", True, f"unknown: {_why(reading, 'storage.free_bytes')}")
    worn = "" if storage.wear_percent is None else f", up to {storage.wear_percent:.0f} % of its life used"
    text = f"{storage.free_bytes / 1e9:.1f} GB free{worn}"
    if storage.read_only:
        return Check("disk", False, f"{text}; it cannot be written",
                     "Mount it for writing. A worn card refuses it: replace it then.")  # fmt: skip
    if storage.reserve_low or (storage.wear_percent or 0) >= WORN_PERCENT:
        return Check("disk", False, f"{text}; it is worn out", "Replace the card soon, and copy what is on it before.")
    return Check(
        "disk", storage.free_bytes > LEAST_FREE_BYTES, text, f"Free at least {LEAST_FREE_BYTES // 1_000_000} MB."
    )


def _memory(reading: Reading) -> Check:
    memory = reading.memory
    if memory.available_bytes is None:
        return Check("memory", True, f"unknown: {_why(reading, 'memory.available_bytes')}")
    room = room_bytes(memory) or 0
    text = f"{memory.available_bytes / 1e9:.1f} GB available"
    if memory.cgroup_limit_bytes is not None:
        text += f", {room / 1e9:.1f} GB within the control group's limit"
    return Check("memory", room > _ENOUGH_MEMORY, text,
                 "The service needs about 250 MB: stop something else, or raise its limit.")  # fmt: skip


def _clock(reading: Reading) -> Check:
    now = time.time()
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    kept = {True: ", kept right by a time server", False: ", but no time server keeps it right", None: ""}
    return Check("clock", now > _CLOCK_IS_SANE_AFTER, shown + kept[reading.system.clock_synchronised],
                 "Let the box reach a time server: `timedatectl set-ntp true`.")  # fmt: skip


def _why(reading: Reading, field: str) -> str:
    return reading.unknown.get(field, "nobody says why")
