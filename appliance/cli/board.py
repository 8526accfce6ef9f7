"""`appliance board`."""

from __future__ import annotations

import argparse
from typing import Any

from appliance.cli.arguments import OK, add_command


def add(commands: Any) -> None:
    """Add the command."""
    board = add_command(commands, "board", _board, "show this device's hardware and the recommended settings for it")
    board.add_argument("--toml", action="store_true", help="print the recommended settings as TOML")
    board.add_argument("--drop-ins", action="store_true", help="print the names of its drop-ins in systemd/boards")


def _board(arguments: argparse.Namespace) -> int:
    from appliance.commands import board

    machine = board.find()
    if arguments.toml:
        print(board.toml(machine), end="")
    elif arguments.drop_ins:
        print(" ".join(board.drop_ins(machine)))
    else:
        for line in board.table(machine):
            print(line)
    return OK
