"""`appliance governor …`: show, hold and release the throttle level of the running service."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from appliance import durations
from appliance.cli.arguments import OK, USAGE, add_command, complain, running_service

if TYPE_CHECKING:
    from appliance.control.client import Control
    from appliance.control.protocol import GovernorStatus


def add(governor: argparse.ArgumentParser) -> None:
    """Add the commands of `appliance governor`."""
    commands = governor.add_subparsers(required=True, metavar="COMMAND")
    add_command(commands, "show", _show, "print the throttle level, its reason, and what each level means")
    hold = add_command(
        commands, "hold", _hold, "hold one throttle level, unless the chip reaches its critical temperature"
    )
    hold.add_argument(
        "state", type=int, metavar="LEVEL", help="0 is full performance; `appliance governor show` lists all levels"
    )
    hold.add_argument(
        "--for",
        dest="for_",
        default="10m",
        metavar="DURATION",
        help="such as 90s, 10m or 2h; at most 24h (default: 10m)",
    )
    add_command(commands, "release", _release, "release a held throttle level")


def _show(arguments: argparse.Namespace) -> int:
    service = running_service()
    _print(service.governor(), service)
    return OK


def _hold(arguments: argparse.Namespace) -> int:
    from appliance.control.protocol import LONGEST_HOLD_S

    for_s = durations.parse(arguments.for_)
    if not for_s or for_s > LONGEST_HOLD_S:
        return complain("--for: at most 24h, for example 90s, 10m or 2h", USAGE)
    service = running_service()
    _print(service.hold(arguments.state, for_s), service)
    return OK


def _release(arguments: argparse.Namespace) -> int:
    service = running_service()
    _print(service.release(), service)
    return OK


def _print(status: GovernorStatus | None, service: Control) -> None:
    print(f"{describe(status)}\nService: {service.peer}")


def describe(status: GovernorStatus | None) -> str:
    """The governor's status and levels as text; None: it is disabled."""
    if status is None:
        return "The governor is disabled (governor.enabled = false). Temperature and memory are only monitored."
    level, since = status.cur_state, durations.in_words(status.time_in_state_s)
    lines = [f"Throttle level {level} of {status.max_state} for {since}: {status.why}."]
    if status.held_for_s is not None:
        lines.append(
            f"Held for another {durations.in_words(status.held_for_s)}. Release it: appliance governor release"
        )
    if status.memory is not None:
        lines.append(f"Memory is low: {status.memory}.")
    lines += ["", "   level   heat   what the device processes"]
    for number, step in enumerate(status.ladder):
        lines.append(f" {'*' if number == level else ' '} {number:>5}  {step.heat:5.0%}   {step.means}")
    source = "measured on this device" if status.measured else "estimated; measure this device: appliance bench"
    return "\n".join([*lines, "", f"Heat: at most, relative to full load ({source})."])
