"""Supported boards, what this machine is, and the recommended settings for it with their reasons.

A board's name comes from its device tree or DMI. The temperatures come from the documentation of BCM2711, BCM2712,
Jetson Orin and the Intel N-series. A board that is not in the table gets values that are safe on any board.
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
class BoardFamily:
    """One family of boards."""

    title: str
    names: str
    """A pattern that the board's name matches, case-insensitive."""
    architecture: str
    max_side: int
    why_side: str
    target_temp_c: float
    critical_temp_c: float
    why_temp: str
    drop_ins: tuple[str, ...] = ()


_TRAINED = "the size that YOLO nano models are trained at"
_PI = "the firmware throttles from 80 °C"
_ORIN = "the kernel throttles at 99 °C, which is too hot for most enclosures"
BOARDS = (
    BoardFamily("Raspberry Pi 4", r"raspberry pi (4|compute module 4)", "aarch64",
                416, "the Cortex-A72 computes in single precision only", 78, 84, _PI),
    BoardFamily("Raspberry Pi 5", r"raspberry pi (5|compute module 5)", "aarch64", 640, _TRAINED, 78, 84, _PI),
    BoardFamily("Jetson Orin Nano", r"orin nano", "aarch64", 640, _TRAINED, 85, 95, _ORIN, ("jetson",)),
    BoardFamily("Jetson Orin NX", r"orin nx", "aarch64", 640, _TRAINED, 85, 95, _ORIN, ("jetson",)),
    BoardFamily("Jetson AGX Orin", r"agx orin", "aarch64", 640, _TRAINED, 85, 95, _ORIN, ("jetson",)),
    BoardFamily("Intel N-series", r"\b(n95|n97|n100|n200|n305)\b", "x86_64",
                640, _TRAINED, 85, 98, "the junction may reach 105 °C, and most of these devices are fanless"),
    BoardFamily("Intel NUC", r"\bnuc|core.* (i[3579]|ultra)", "x86_64",
                640, _TRAINED, 90, 97, "the junction may reach 100 °C, and it has a fan"),
)  # fmt: skip
_JETSON_GPU = ("dev/nvhost-gpu", "dev/nvhost-ctrl-gpu", "sys/devices/gpu.0", "sys/devices/platform/gpu.0")
_COOL = "a low limit, since the board is unknown"
UNKNOWN = {
    "aarch64": BoardFamily(
        "unknown arm64 board", "", "aarch64", 416, "a small input, since the board is unknown", 75, 84, _COOL
    ),
    "x86_64": BoardFamily("unknown amd64 machine", "", "x86_64", 640, _TRAINED, 80, 90, _COOL),
}


@dataclass(frozen=True, slots=True)
class Machine:
    """The hardware and software of this machine."""

    board: Board
    architecture: str
    processor: str
    cpus: int
    features: tuple[str, ...]
    """CPU features that speed up inference."""
    accelerators: tuple[str, ...]
    free_bytes: int
    """On the root file system."""
    reading: Reading
    python: str
    """The version that runs the appliance, such as `3.10`."""
    tensorrt_for: tuple[str, ...]
    """The Python versions that the system's TensorRT module supports."""


@dataclass(frozen=True, slots=True)
class RecommendedSetting:
    """A setting and its reason."""

    key: str
    value: str | int | float
    why: str


def find(
    root: Path = Path("/"),
    architecture: str = platform.machine(),
    python: str = f"{sys.version_info.major}.{sys.version_info.minor}",
) -> Machine:
    """Examine this machine, or a copy of its /proc and /sys under `root`."""
    fields = cpuinfo(root)
    words = (fields.get("flags") or fields.get("Features") or "").split()
    features = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_int8", "asimdhp", "asimddp", "bf16", "i8mm")
                if name in words]  # fmt: skip
    return Machine(
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


def family_of(machine: Machine) -> BoardFamily:
    """The family that a board belongs to."""
    names = f"{machine.board.name or ''} {machine.processor}"
    for family in BOARDS:
        if family.architecture == machine.architecture and re.search(family.names, names, re.IGNORECASE):
            return family
    return UNKNOWN.get(machine.architecture, UNKNOWN["aarch64"])


def recommended(machine: Machine) -> tuple[RecommendedSetting, ...]:
    """The recommended settings for this machine."""
    family = family_of(machine)
    trip_c = machine.reading.thermal.passive_temp_c
    target_c = min(family.target_temp_c, trip_c - 2) if trip_c is not None else family.target_temp_c
    why_target = (
        family.why_temp
        if target_c == family.target_temp_c
        else f"2 °C below this board's trip point of {trip_c:.0f} °C"
    )
    return (
        RecommendedSetting("profile", "production", "one frame per second and camera, for unattended operation"),
        RecommendedSetting(
            "model.dir",
            "/opt/appliance/models",
            "where the installer puts models, independent of the working directory",
        ),
        _engine(machine),
        RecommendedSetting("engine.device", "CPU", _why_device(machine)),
        RecommendedSetting("flow.max_side", family.max_side, family.why_side),
        RecommendedSetting("governor.target_temp_c", target_c, why_target),
        RecommendedSetting(
            "governor.critical_temp_c", max(family.critical_temp_c, target_c + 5), "inference stops here"
        ),
    )


def drop_ins(machine: Machine) -> tuple[str, ...]:
    """The names of the drop-ins in systemd/boards for this machine."""
    return (memory_drop_in(machine.reading.memory.total_bytes or 0), *family_of(machine).drop_ins)


def memory_drop_in(total_bytes: int) -> str:
    """The drop-in with the memory limits for this much memory."""
    sizes = (("1g", 1.5), ("2g", 3), ("4g", 6))
    return f"memory-{next((name for name, below in sizes if total_bytes < below * _GB), '8g')}"


def toml(machine: Machine) -> str:
    """The recommended settings as TOML, each below its reason."""
    board = machine.board.name or family_of(machine).title
    lines = [f"# Recommended for: {board}. `appliance config show` lists all settings."]
    section = ""
    for setting in recommended(machine):
        name, _, key = setting.key.rpartition(".")
        if name != section:
            lines += ["", f"[{name}]"]
            section = name
        value = f'"{setting.value}"' if isinstance(setting.value, str) else f"{setting.value:g}"
        lines += [f"# {setting.why}", f"{key} = {value}"]
    return "\n".join(lines) + "\n"


def table(machine: Machine) -> Iterator[str]:
    """The machine and its recommended settings, line by line."""
    reading, family = machine.reading, family_of(machine)
    thermal, memory = reading.thermal, reading.memory
    fans = ", ".join(device.name for device in thermal.cooling) or "none known to the kernel"
    temp = "no sensor" if thermal.soc_temp_c is None else f"{thermal.soc_temp_c:.0f} °C"
    trip = "" if thermal.passive_temp_c is None else f", throttled at {thermal.passive_temp_c:.0f} °C"
    facts = (
        ("board", machine.board.name or "unknown"),
        ("recognised as", family.title),
        ("revision", machine.board.revision or "unknown"),
        ("serial", machine.board.serial or "unknown (on some boards only root can read it)"),
        ("processor", f"{machine.processor}, {machine.cpus} usable, {machine.architecture}"),
        ("features", ", ".join(machine.features) or "none that speed up inference"),
        ("accelerators", ", ".join(machine.accelerators) or "none"),
        ("memory", "unknown" if memory.total_bytes is None else f"{memory.total_bytes / _GB:.1f} GB"),
        ("storage", f"{machine.free_bytes / _GB:.1f} GB free"),
        ("temperature", f"{temp}{trip}"),
        ("cooling", fans),
    )
    for name, value in facts:
        yield f"  {name:<13} {value}"
    yield "recommended settings"
    for setting in recommended(machine):
        line = f"{setting.key} = {setting.value}"
        yield f"  {line:<34} {setting.why}"
    yield f"  {'systemd/boards: ' + ', '.join(drop_ins(machine)):<34} memory limits and device access"


def _engine(machine: Machine) -> RecommendedSetting:
    """Only TensorRT can use a Jetson's GPU, and only with the drop-in does the service have access to it."""
    kind, why = "openvino", "runs on every supported board"
    if "jetson" in family_of(machine).drop_ins:
        if machine.python in machine.tensorrt_for:
            kind, why = "tensorrt", "JetPack provides TensorRT; OpenVINO is used until the engine for this GPU is built"
        elif machine.tensorrt_for:
            why = f"TensorRT supports Python {machine.tensorrt_for[0]} here, and the appliance runs on {machine.python}"
        else:
            why = (
                "TensorRT is missing: `sudo apt-get install python3-libnvinfer`, run the installer again, set tensorrt"
            )
    return RecommendedSetting("engine.kind", kind, why)


def _tensorrt_for(root: Path) -> Iterator[str]:
    """The Python versions for which python3-libnvinfer has installed its module."""
    for package in sorted(root.glob("usr/lib/python3.*/dist-packages/tensorrt/__init__.py")):
        yield package.parts[-4].removeprefix("python")


def _why_device(machine: Machine) -> str:
    if "Intel GPU" in machine.accelerators:
        return "to find out whether the GPU is faster: appliance bench --set engine.device=GPU"
    if "NVIDIA Jetson GPU" in machine.accelerators:
        return "for OpenVINO, which cannot use this GPU; TensorRT does"
    return "no accelerator found"


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
