"""The identity of this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from appliance.device import kernel_files
from appliance.readings import Board

_PLACEHOLDER = re.compile(
    r"(?:to be filled by o\.?e\.?m\.?|default string|system (?:product name|version|serial number)|not (?:applicable|"
    r"specified|available)|none|unknown|n/a|x\.x|[0x. -]*|0?123456789)",
    re.IGNORECASE,
)
"""Placeholder texts that makers leave in DMI."""


def identify(root: Path = Path("/")) -> Board:
    """Identify the board by its device tree and /proc/cpuinfo, or by DMI, whose serial numbers only root may read."""
    tree, dmi = root / "proc/device-tree", root / "sys/class/dmi/id"
    fields = cpuinfo(root)
    return Board(
        name=_first(tree / "model", dmi / "product_name", dmi / "board_name"),
        revision=_hex_field(fields, "Revision") or _first(dmi / "product_version", dmi / "board_version"),
        serial=_first(tree / "serial-number")
        or _hex_field(fields, "Serial")
        or _first(dmi / "product_serial", dmi / "board_serial"),
    )


def board_name(root: Path = Path("/")) -> str | None:
    """The name of this machine."""
    return identify(root).name


def _first(*paths: Path) -> str | None:
    names = (kernel_files.label(path) for path in paths)
    return next((name for name in names if not _PLACEHOLDER.fullmatch(name)), None)


def processor(root: Path = Path("/")) -> str | None:
    """The processor's name; most Arm kernels do not report it."""
    return cpuinfo(root).get("model name") or None


def cpuinfo(root: Path = Path("/")) -> dict[str, str]:
    """The fields of /proc/cpuinfo by name, each from the first processor that has it; empty if unreadable.

    A Raspberry Pi's kernel adds Revision, Serial and Model at the end.
    """
    fields: dict[str, str] = {}
    for line in kernel_files.lines(root / "proc/cpuinfo"):
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    return fields


def _hex_field(fields: Mapping[str, str], name: str) -> str | None:
    value = fields.get(name, "")
    return value if re.fullmatch(r"[0-9a-f]{4,16}", value) else None
