"""`appliance doctor`."""

from __future__ import annotations

import argparse
from typing import Any

from appliance.cli.arguments import FAILED, OK, add_command, add_settings, in_force
from appliance.device import logs


def add(commands: Any) -> None:
    """Add the command."""
    doctor = add_command(commands, "doctor", _doctor, "check this device and its installation, and say what to fix")
    add_settings(doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    settings = in_force(arguments)
    logs.set_up("error")
    from appliance.commands.doctor.examine import examine

    exit_code = OK
    for result in examine(settings):
        print(f"  {'✓' if result.ok else '✗'} {result.name:<14} {result.text}", flush=True)
        if not result.ok:
            print(f"    → {result.fix}", flush=True)
            exit_code = FAILED
    return exit_code
