"""The machine as a whole: uptime, clock synchronisation, and network interfaces.

Rules of this file:
- Uptime is the kernel's, not "now minus boot time": a board without a real-time clock boots in 1970, and then jumps.
- The kernel knows whether a program disciplines its clock (adjtimex(2)): systemd-timesyncd, chrony or ntpd. systemd's
  ProtectClock= forbids that call; then only the marker file of timesyncd is left. Without timesyncd's folder the
  synchronisation is unknown.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from pathlib import Path

import psutil

from appliance.device import kernel_files
from appliance.device.sensors.group import GroupReading, with_reasons
from appliance.readings import NetworkInterface, System

_STA_UNSYNC = 0x40
_REASONS = {
    "uptime_s": "cannot read /proc/uptime",
    "clock_synchronised": "neither the kernel nor systemd-timesyncd reports it",
}


class _Timex(ctypes.Structure):
    """struct timex up to the status, with more space than any kernel fills."""

    _fields_ = (
        ("modes", ctypes.c_int),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def clock_status() -> int | None:
    """Status bits of the kernel's clock; None: the call is not permitted."""
    try:
        adjtimex = ctypes.CDLL(None).adjtimex
    except (AttributeError, OSError):
        return None
    clock = _Timex()  # modes 0: read only
    return int(clock.status) if adjtimex(ctypes.byref(clock)) >= 0 else None


def read(root: Path = Path("/"), status: Callable[[], int | None] = clock_status) -> GroupReading[System]:
    """Read uptime, clock and network interfaces."""
    return with_reasons(System(None, _uptime_s(root), _synchronised(root, status()), _links()), _REASONS)


def _uptime_s(root: Path) -> float | None:
    match = re.match(r"(\d{1,12}\.\d{2}) ", kernel_files.text(root / "proc/uptime") or "", re.ASCII)
    return float(match[1]) if match else None


def _synchronised(root: Path, status: int | None) -> bool | None:
    if status is not None:
        return not status & _STA_UNSYNC
    folder = root / "run/systemd/timesync"
    return (folder / "synchronized").exists() if folder.is_dir() else None


def _links() -> tuple[NetworkInterface, ...]:
    """All interfaces except the loopback; none if the kernel has no counters."""
    try:
        counters, states = psutil.net_io_counters(pernic=True), psutil.net_if_stats()
    except (OSError, ValueError):
        return ()
    return tuple(
        NetworkInterface(
            name, name in states and states[name].isup, count.bytes_recv, count.bytes_sent, count.errin + count.errout
        )
        for name, count in sorted(counters.items())
        if name != "lo"
    )
