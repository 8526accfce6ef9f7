"""What this machine is."""

from __future__ import annotations

import re
from pathlib import Path

from appliance.device import kernel_files
from appliance.readings import Board

_FILLED_BY_NOBODY = re.compile(
    r"(?:to be filled by o\.?e\.?m\.?|default string|system (?:product name|version|serial number)|not (?:applicable|"
    r"specified|available)|none|unknown|n/a|x\.x|[0x. -]*|0?123456789)",
    re.IGNORECASE,
)
"""What makers leave in DMI."""


def identify(root: Path = Path("/")) -> Board:
    """From the device tree and /proc/cpuinfo, else from DMI, whose serial numbers are for root alone."""
    tree, dmi = root / "proc/device-tree", root / "sys/class/dmi/id"
    cpuinfo = _cpuinfo(root)
    return Board(
        name=_first(tree / "model", dmi / "product_name", dmi / "board_name"),
        revision=cpuinfo.get("Revision") or _first(dmi / "product_version", dmi / "board_version"),
        serial=_first(tree / "serial-number")
        or cpuinfo.get("Serial")
        or _first(dmi / "product_serial", dmi / "board_serial"),
    )


def board_name(root: Path = Path("/")) -> str | None:
    """What this machine calls itself."""
    return identify(root).name


def _first(*paths: Path) -> str | None:
    names = (kernel_files.label(path) for path in paths)
    return next((name for name in names if not _FILLED_BY_NOBODY.fullmatch(name)), None)


def _cpuinfo(root: Path) -> dict[str, str]:
    """The lines at its end that a Raspberry Pi's kernel adds."""
    fields = (line.partition(":") for line in kernel_files.lines(root / "proc/cpuinfo"))
    return {
        name.strip(): value
        for name, _, rest in fields
        if name.strip() in ("Revision", "Serial") and re.fullmatch(r"[0-9a-f]{4,16}", value := rest.strip())
    }
