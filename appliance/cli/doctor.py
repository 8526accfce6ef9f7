"""`appliance doctor`."""

from __future__ import annotations

import argparse
from typing import Any

from appliance.cli.arguments import FAILED, OK, add_command, add_settings, in_force
from appliance.device import logs

_MARKS = {True: "✓", False: "✗", None: "?"}


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
        print(f"  {_MARKS[result.ok]} {result.name:<14} {result.text}", flush=True)
        if result.ok is False:
            print(f"    → {result.fix}", flush=True)
            exit_code = FAILED
    return exit_code
