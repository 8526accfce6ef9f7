"""`appliance doctor`, `board` and `address`: what a technician asks a box."""

from __future__ import annotations

import argparse
from typing import Any

from appliance.cli.arguments import FAILED, OK, add_command, add_settings, complain, in_force, settings_of
from appliance.device import logs


def add(commands: Any) -> None:
    """Put them among the commands."""
    doctor = add_command(commands, "doctor", _doctor, "check that this machine can do the work, and say what to mend")
    add_settings(doctor)

    board = add_command(commands, "board", _board, "what this machine is, and what would be configured for it")
    board.add_argument("--toml", action="store_true", help="print the configuration for it")
    board.add_argument("--drop-ins", action="store_true", help="print the names of its files in systemd/boards")

    address = add_command(
        commands, "address", _address, "where a browser on this network finds the box; exit 1: nowhere yet"
    )
    add_settings(address)
    address.add_argument("--qr", action="store_true", help="also as a code for a phone's camera")


def _doctor(arguments: argparse.Namespace) -> int:
    settings = in_force(arguments)
    logs.set_up("error")
    from appliance.commands.doctor.examine import examine

    worst = OK
    for check in examine(settings):
        print(f"  {'✓' if check.ok else '✗'} {check.name:<14} {check.text}", flush=True)
        if not check.ok:
            print(f"    → {check.do}", flush=True)
            worst = FAILED
    return worst


def _board(arguments: argparse.Namespace) -> int:
    from appliance.commands import board

    found = board.find()
    if arguments.toml:
        print(board.toml(found), end="")
    elif arguments.drop_ins:
        print(" ".join(board.drop_ins(found)))
    else:
        for line in board.table(found):
            print(line)
    return OK


def _address(arguments: argparse.Namespace) -> int:
    from appliance.commands import qr_code
    from appliance.service import addresses

    server = settings_of(arguments).server
    found = addresses.addresses_from_outside(server.host, server.port)
    if not found:
        return complain("this box has no address on a network yet; look at its cable or its Wi-Fi", FAILED)
    print(qr_code.signboard(found) if arguments.qr else "\n".join(found))
    return OK
