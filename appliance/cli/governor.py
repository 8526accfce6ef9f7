"""`appliance governor …`: how much the running service takes on."""

from __future__ import annotations

import argparse

from appliance import durations
from appliance.cli.arguments import OK, USAGE, add_command, complain, running_service
from appliance.control import client


def add(governor: argparse.ArgumentParser) -> None:
    """Put the commands under `appliance governor`."""
    commands = governor.add_subparsers(required=True, metavar="COMMAND")
    add_command(commands, "show", _show, "print the cooling state, why, and what each state means")
    hold = add_command(commands, "hold", _hold, "keep one cooling state, below the critical point")
    hold.add_argument("state", type=int, metavar="STATE", help="0 is full work; `appliance governor show` lists them")
    hold.add_argument("--for", dest="for_", default="10m", metavar="10m", help="s, m or h, 24h at the most (10m)")
    add_command(commands, "release", _release, "let the governor find its own way again")


def _show(arguments: argparse.Namespace) -> int:
    print(client.show(running_service().governor()))
    return OK


def _hold(arguments: argparse.Namespace) -> int:
    for_s = durations.parse(arguments.for_)
    if not for_s:
        return complain(f"--for {arguments.for_}: write a time with its unit, for example --for 10m", USAGE)
    print(client.show(running_service().hold(arguments.state, for_s)))
    return OK


def _release(arguments: argparse.Namespace) -> int:
    print(client.show(running_service().release()))
    return OK
