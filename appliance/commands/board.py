"""The boards we know, what is found on this one, and what would be configured for it and why: one table, one place.

What a board is called comes from its device tree or DMI. The figures are the makers' (BCM2711, BCM2712, Jetson Orin and
Intel N-series documentation); a board that is not in the table gets what is safe on any.
"""

from __future__ import annotations

import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.device.board import cpuinfo, identify
from appliance.device.cpus import usable_cpus
from appliance.device.sensors.machine import MachineSensors
from appliance.readings import Board, Reading

_GB = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Known:
    """One family of boards."""

    title: str
    names: str
    """A pattern that its name matches, in any case."""
    architecture: str
    max_side: int
    why_side: str
    target_temp_c: float
    critical_temp_c: float
    why_temp: str
    drop_ins: tuple[str, ...] = ()


_TRAINED = "the size that YOLO's nano networks were trained for"
_PI = "its firmware slows it down from 80 °C on"
_ORIN = "its kernel slows it down at 99 °C, and its housing should not come near that"
BOARDS = (
    Known("Raspberry Pi 4", r"raspberry pi (4|compute module 4)", "aarch64",
          416, "its Cortex-A72 computes in single precision only", 77, 84, _PI),
    Known("Raspberry Pi 5", r"raspberry pi (5|compute module 5)", "aarch64", 640, _TRAINED, 77, 84, _PI),
    Known("Jetson Orin Nano", r"orin nano", "aarch64", 640, _TRAINED, 85, 95, _ORIN, ("jetson",)),
    Known("Jetson Orin NX", r"orin nx", "aarch64", 640, _TRAINED, 85, 95, _ORIN, ("jetson",)),
    Known("Jetson AGX Orin", r"agx orin", "aarch64", 640, _TRAINED, 85, 95, _ORIN, ("jetson",)),
    Known("Intel N-series", r"\b(n95|n97|n100|n200|n305)\b", "x86_64",
          640, _TRAINED, 85, 98, "its junction may reach 105 °C, and most of these boxes have no fan"),
    Known("Intel NUC", r"\bnuc|core.* (i[3579]|ultra)", "x86_64",
          640, _TRAINED, 90, 97, "its junction may reach 100 °C, and it has a fan"),
)  # fmt: skip
_JETSON_GPU = ("dev/nvhost-gpu", "dev/nvhost-ctrl-gpu", "sys/devices/gpu.0", "sys/devices/platform/gpu.0")
_COOL = "nothing is known of it, so it is kept cool"
UNKNOWN = {
    "aarch64": Known(
        "unknown arm64 board", "", "aarch64", 416, "nothing is known of it, so it begins small", 75, 84, _COOL
    ),
    "x86_64": Known("unknown amd64 machine", "", "x86_64", 640, _TRAINED, 80, 90, _COOL),
}


@dataclass(frozen=True, slots=True)
class Found:
    """What this machine is."""

    board: Board
    architecture: str
    processor: str
    cpus: int
    features: tuple[str, ...]
    """Of those that make inference faster."""
    accelerators: tuple[str, ...]
    free_bytes: int
    """Where the releases lie."""
    reading: Reading
    python: str
    """Whose environment this is: `3.10`."""
    tensorrt_for: tuple[str, ...]
    """The Pythons that the system has TensorRT's module for."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One setting and its reason."""

    key: str
    value: str | int | float
    why: str


def find(
    root: Path = Path("/"),
    architecture: str = platform.machine(),
    python: str = f"{sys.version_info.major}.{sys.version_info.minor}",
) -> Found:
    """Look at this machine, or at a tree of files that describes one."""
    fields = cpuinfo(root)
    words = (fields.get("flags") or fields.get("Features") or "").split()
    features = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_int8", "asimdhp", "asimddp", "bf16", "i8mm")
                if name in words]  # fmt: skip
    return Found(
        board=identify(root),
        architecture=architecture,
        processor=fields.get("model name") or fields.get("Model") or "unknown processor",
        cpus=usable_cpus(root),
        features=tuple(features),
        accelerators=tuple(_accelerators(root)),
        free_bytes=shutil.disk_usage(root).free,
        reading=MachineSensors(root=root).read(),
        python=python,
        tensorrt_for=tuple(_tensorrt_for(root)),
    )


def known(found: Found) -> Known:
    """The family of a board."""
    names = f"{found.board.name or ''} {found.processor}"
    for entry in BOARDS:
        if entry.architecture == found.architecture and re.search(entry.names, names, re.IGNORECASE):
            return entry
    return UNKNOWN.get(found.architecture, UNKNOWN["aarch64"])


def choices(found: Found) -> tuple[Choice, ...]:
    """What the configuration should hold for this machine."""
    entry = known(found)
    trip_c = found.reading.thermal.passive_temp_c
    target_c = min(entry.target_temp_c, trip_c - 3) if trip_c is not None else entry.target_temp_c
    why_target = (
        entry.why_temp if target_c == entry.target_temp_c else f"3 °C below its own trip point at {trip_c:.0f} °C"
    )
    return (
        Choice("profile", "production", "a frame a second and camera, for a box that runs for years"),
        Choice(
            "model.dir", "/opt/appliance/models", "where the installer puts them, whatever folder a command is run in"
        ),
        _engine(found),
        Choice("engine.device", "CPU", _why_device(found)),
        Choice("flow.max_side", entry.max_side, entry.why_side),
        Choice("governor.target_temp_c", target_c, why_target),
        Choice("governor.critical_temp_c", max(entry.critical_temp_c, target_c + 5), "inference stops there"),
    )


def drop_ins(found: Found) -> tuple[str, ...]:
    """The names in systemd/boards that belong on this machine."""
    return (memory_drop_in(found.reading.memory.total_bytes or 0), *known(found).drop_ins)


def memory_drop_in(total_bytes: int) -> str:
    """The one with the memory limits of a board of this size."""
    sizes = (("1g", 1.5), ("2g", 3), ("4g", 6))
    return f"memory-{next((name for name, below in sizes if total_bytes < below * _GB), '8g')}"


def toml(found: Found) -> str:
    """The configuration, each setting with its reason above it."""
    lines = [
        f"# For this machine: {found.board.name or known(found).title}. `appliance config show` lists all settings."
    ]
    section = ""
    for choice in choices(found):
        name, _, key = choice.key.rpartition(".")
        if name != section:
            lines += ["", f"[{name}]"]
            section = name
        value = f'"{choice.value}"' if isinstance(choice.value, str) else f"{choice.value:g}"
        lines += [f"# {choice.why}", f"{key} = {value}"]
    return "\n".join(lines) + "\n"


def table(found: Found) -> Iterator[str]:
    """What was found and what would be configured, line by line."""
    reading, entry = found.reading, known(found)
    thermal, memory = reading.thermal, reading.memory
    fans = ", ".join(device.name for device in thermal.cooling) or "none that the kernel knows"
    temp = "no sensor" if thermal.soc_temp_c is None else f"{thermal.soc_temp_c:.0f} °C"
    trip = "" if thermal.passive_temp_c is None else f", slowed down at {thermal.passive_temp_c:.0f} °C"
    facts = (
        ("board", found.board.name or "unknown"),
        ("taken for", entry.title),
        ("revision", found.board.revision or "unknown"),
        ("serial", found.board.serial or "unknown (only root may read it on some boards)"),
        ("processor", f"{found.processor}, {found.cpus} usable, {found.architecture}"),
        ("features", ", ".join(found.features) or "none that speed inference up"),
        ("accelerators", ", ".join(found.accelerators) or "none"),
        ("memory", "unknown" if memory.total_bytes is None else f"{memory.total_bytes / _GB:.1f} GB"),
        ("storage", f"{found.free_bytes / _GB:.1f} GB free"),
        ("temperature", f"{temp}{trip}"),
        ("cooling", fans),
    )
    for name, value in facts:
        yield f"  {name:<13} {value}"
    yield "would configure"
    for choice in choices(found):
        setting = f"{choice.key} = {choice.value}"
        yield f"  {setting:<34} {choice.why}"
    yield f"  {'systemd/boards: ' + ', '.join(drop_ins(found)):<34} what it may use of memory and devices"


def _engine(found: Found) -> Choice:
    """A Jetson's GPU is what TensorRT alone can use; the drop-in is what lets the service reach it."""
    kind, why = "openvino", "runs on every board of the table"
    if "jetson" in known(found).drop_ins:
        if found.python in found.tensorrt_for:
            kind, why = "tensorrt", "JetPack's TensorRT is here; OpenVINO serves until an engine is built for this GPU"
        elif found.tensorrt_for:
            why = f"TensorRT is here for Python {found.tensorrt_for[0]}, and the appliance runs on {found.python}"
        else:
            why = "TensorRT is not here: `sudo apt-get install python3-libnvinfer`, install again, set this to tensorrt"
    return Choice("engine.kind", kind, why)


def _tensorrt_for(root: Path) -> Iterator[str]:
    """Where python3-libnvinfer puts its module, one for each Python that it was built for."""
    for package in sorted(root.glob("usr/lib/python3.*/dist-packages/tensorrt/__init__.py")):
        yield package.parts[-4].removeprefix("python")


def _why_device(found: Found) -> str:
    if "Intel GPU" in found.accelerators:
        return "`appliance bench --set engine.device=GPU` tells whether its GPU is faster"
    if "NVIDIA Jetson GPU" in found.accelerators:
        return "where OpenVINO computes, which cannot use this GPU; TensorRT does"
    return "no accelerator was found"


def _accelerators(root: Path) -> Iterator[str]:
    for vendor in sorted(root.glob("sys/class/drm/renderD*/device/vendor")):
        try:
            if vendor.read_text(encoding="ascii").strip() == "0x8086":
                yield "Intel GPU"
        except (OSError, ValueError):
            continue
    if any(root.glob("sys/class/accel/accel*")):
        yield "NPU"
    if any((root / path).exists() for path in _JETSON_GPU):
        yield "NVIDIA Jetson GPU"
    if (root / "proc/driver/nvidia/version").exists():
        yield "NVIDIA GPU"
