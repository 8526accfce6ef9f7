"""Whether the appliance is installed on this machine, or used from a checkout."""

from __future__ import annotations

from pathlib import Path

PROGRAMS = Path("/opt/appliance/current/provisioning")


def is_device() -> bool:
    """Whether this machine is a device."""
    return PROGRAMS.is_dir()
