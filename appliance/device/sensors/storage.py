"""The file system that holds models and state, and how worn the card or disk under it is."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import psutil

from appliance.device import kernel_files
from appliance.device.sensors.group import Answer, answer
from appliance.readings import Storage

_NO_WEAR = "this disk does not tell how worn it is; most SD cards do not"
_NVME = "an NVMe drive tells it only to root: `nvme smart-log /dev/{}`"


@dataclass(frozen=True, slots=True)
class Files:
    """A folder, and the folder of the disk that it lies on in /sys; None: not known."""

    folder: Path
    disk: Path | None


def find(folder: Path, root: Path = Path("/")) -> Files:
    """The disk under this folder; on an overlay, the machine's only card."""
    return Files(folder, _disk(folder, root))


def read(files: Files) -> Answer[Storage]:
    """The file system now."""
    wear_percent, reserve_low = _wear(files.disk) if files.disk else (None, None)
    name = files.disk.name if files.disk else ""
    no_wear = _NVME.format(name) if name.startswith("nvme") else _NO_WEAR
    absent = {"wear_percent": no_wear, "reserve_low": no_wear}
    try:
        usage, flags = psutil.disk_usage(str(files.folder)), os.statvfs(files.folder).f_flag
    except OSError as error:
        gone = f"{files.folder} cannot be read ({error.strerror})"
        absent |= dict.fromkeys(("free_bytes", "total_bytes", "read_only"), gone)
        return answer(Storage(wear_percent=wear_percent, reserve_low=reserve_low), absent)
    read_only = bool(flags & os.ST_RDONLY)
    return answer(Storage(None, usage.free, usage.total, read_only, wear_percent, reserve_low), absent)


def _disk(folder: Path, root: Path) -> Path | None:
    try:
        device = os.stat(folder).st_dev
    except OSError:
        return None
    block = (root / f"sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve()
    disk = block.parent if (block / "partition").exists() else block
    if disk.exists():
        return disk
    cards = sorted(path for path in root.glob("sys/block/mmcblk*") if re.fullmatch(r"mmcblk[0-9]+", path.name))
    return cards[0] if len(cards) == 1 else None


def _wear(disk: Path) -> tuple[float | None, bool | None]:
    """What an eMMC says (Documentation/driver-api/mmc/mmc-dev-attrs.rst; JEDEC JESD84-B51, 7.4.33 and 7.4.34): its life
    in tenths, for each of two kinds of cells, 11 when it is over; and whether the reserve is normal (1)."""
    tenths = [
        int(word, 16)
        for word in re.findall(r"0x[0-9a-fA-F]{1,2}\b", kernel_files.text(disk / "device/life_time") or "")
    ]
    known = [tenth for tenth in tenths if 1 <= tenth <= 11]
    reserve = kernel_files.number(disk / "device/pre_eol_info", base=16)
    return min(100.0, 10.0 * max(known)) if known else None, reserve > 1 if reserve in (1, 2, 3) else None
