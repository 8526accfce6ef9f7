"""`appliance erase`."""

from __future__ import annotations

import argparse
from typing import Any

from appliance.cli.arguments import OK, USAGE, add_command, add_settings, complain, confirmed, settings_of

_DATA = "State, tokens, keys, saved pictures and Wi-Fi of this device will be erased."
_ALL = "All settings, tokens, keys, pictures, Wi-Fi and the journal of this device will be erased."


def add(commands: Any) -> None:
    """Add the command."""
    erase = add_command(commands, "erase", _erase, "erase what the service has stored: state, tokens, keys, pictures")
    add_settings(erase)
    erase.add_argument(
        "--factory-reset", action="store_true", help="also settings, credentials and the journal, as after installation"
    )
    erase.add_argument("--yes", action="store_true", help="do not ask")


def _erase(arguments: argparse.Namespace) -> int:
    from appliance.commands import erase, installed

    on_device = installed.is_device() and arguments.config is None
    if arguments.factory_reset and not on_device:
        return complain("--factory-reset is for an installed device; delete the settings file yourself", USAGE)
    if not arguments.yes and not confirmed(_ALL if arguments.factory_reset else _DATA, "erase"):
        return complain("nothing erased. To erase without a question, add --yes", USAGE)
    if on_device:
        return erase.erase_device(factory_reset=arguments.factory_reset)
    for line in erase.erase_own(settings_of(arguments)):
        print(line)
    return OK
