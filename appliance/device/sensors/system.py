"""The machine as a whole: how long it is up, whether its clock is right, and its network interfaces.

Rules of this file:
- Uptime is the kernel's, not "now minus boot time": a board without a clock boots in 1970, and then jumps.
- The kernel knows whether something disciplines its clock (adjtimex(2)), whichever program that is: systemd-timesyncd,
  chrony or ntpd. Under systemd's ProtectClock= even the question is refused; then timesyncd's own mark is looked at,
  which the others do not leave: without timesyncd's folder nothing is known.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from pathlib import Path

import psutil

from appliance.device import kernel_files
from appliance.device.sensors.group import Answer, answer
from appliance.readings import Link, System

_STA_UNSYNC = 0x40
_ABSENT = {
    "uptime_s": "/proc/uptime cannot be read",
    "clock_synchronised": "neither the kernel nor systemd-timesyncd says so",
}


class _Timex(ctypes.Structure):
    """struct timex as far as the status, with more room than any kernel fills."""

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
    """The status bits of the kernel's clock; None: it may not be asked."""
    try:
        ask = ctypes.CDLL(None).adjtimex
    except (AttributeError, OSError):
        return None
    clock = _Timex()  # modes 0: only asks
    return int(clock.status) if ask(ctypes.byref(clock)) >= 0 else None


def read(root: Path = Path("/"), status: Callable[[], int | None] = clock_status) -> Answer[System]:
    """The machine now."""
    return answer(System(None, _uptime_s(root), _synchronised(root, status()), _links()), _ABSENT)


def _uptime_s(root: Path) -> float | None:
    match = re.match(r"(\d{1,12}\.\d{2}) ", kernel_files.text(root / "proc/uptime") or "", re.ASCII)
    return float(match[1]) if match else None


def _synchronised(root: Path, status: int | None) -> bool | None:
    if status is not None:
        return not status & _STA_UNSYNC
    folder = root / "run/systemd/timesync"
    return (folder / "synchronized").exists() if folder.is_dir() else None


def _links() -> tuple[Link, ...]:
    """All but the loopback; none where the kernel does not count."""
    try:
        counters, states = psutil.net_io_counters(pernic=True), psutil.net_if_stats()
    except (OSError, ValueError):
        return ()
    return tuple(
        Link(name, name in states and states[name].isup, count.bytes_recv, count.bytes_sent, count.errin + count.errout)
        for name, count in sorted(counters.items())
        if name != "lo"
    )
