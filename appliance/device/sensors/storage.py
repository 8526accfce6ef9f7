"""The file system with models and state, and the wear of the card or disk under it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import psutil

from appliance.device import kernel_files
from appliance.device.sensors.group import GroupReading, with_reasons
from appliance.readings import Storage

_NO_WEAR = "this disk does not report its wear; most SD cards do not"
_NVME = "NVMe drives report wear to root only. Run: sudo nvme smart-log /dev/{}"


@dataclass(frozen=True, slots=True)
class StorageFiles:
    """A folder, and the /sys folder of the disk under it; None: unknown."""

    folder: Path
    disk: Path | None


def find(folder: Path, root: Path = Path("/")) -> StorageFiles:
    """Find the disk under this folder; on an overlay, the machine's only card."""
    return StorageFiles(folder, _disk(folder, root))


def read(files: StorageFiles) -> GroupReading[Storage]:
    """Read free space and wear."""
    wear_percent, reserve_low = _wear(files.disk) if files.disk else (None, None)
    name = files.disk.name if files.disk else ""
    no_wear = _NVME.format(name) if name.startswith("nvme") else _NO_WEAR
    reasons = {"wear_percent": no_wear, "reserve_low": no_wear}
    try:
        usage, flags = psutil.disk_usage(str(files.folder)), os.statvfs(files.folder).f_flag
    except OSError as error:
        gone = f"cannot read {files.folder} ({error.strerror})"
        reasons |= dict.fromkeys(("free_bytes", "total_bytes", "read_only"), gone)
        return with_reasons(Storage(wear_percent=wear_percent, reserve_low=reserve_low), reasons)
    read_only = bool(flags & os.ST_RDONLY)
    return with_reasons(Storage(None, usage.free, usage.total, read_only, wear_percent, reserve_low), reasons)


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
    """Read the wear in percent and whether the reserve is low, as an eMMC reports them.

    It reports its used life in tenths for two types of cells, 11 beyond its end, and 1 for a normal reserve
    (Documentation/driver-api/mmc/mmc-dev-attrs.rst; JEDEC JESD84-B51, 7.4.33 and 7.4.34).
    """
    tenths = [
        int(word, 16)
        for word in re.findall(r"0x[0-9a-fA-F]{1,2}\b", kernel_files.text(disk / "device/life_time") or "")
    ]
    known = [tenth for tenth in tenths if 1 <= tenth <= 11]
    reserve = kernel_files.number(disk / "device/pre_eol_info", base=16)
    return min(100.0, 10.0 * max(known)) if known else None, reserve > 1 if reserve in (1, 2, 3) else None
