"""`appliance config …`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from appliance.cli.arguments import OK, USAGE, add_command, add_settings, complain, running_service, settings_of
from appliance.settings import loader


def add(config: argparse.ArgumentParser) -> None:
    """Add the commands of `appliance config`."""
    commands = config.add_subparsers(required=True, metavar="COMMAND")
    show = add_command(commands, "show", _show, "print all settings in effect, with explanations")
    add_settings(show)
    show.add_argument("--running", action="store_true", help="those of the running service, without its secrets")
    check = add_command(commands, "check", _check, "check a settings file; exit code 2 if it is invalid")
    check.add_argument("file", nargs="?", type=Path, help="default: $APPLIANCE_CONFIG or /etc/appliance/appliance.toml")


def _show(arguments: argparse.Namespace) -> int:
    if arguments.running:
        print(running_service().report("settings.toml").decode(), end="")
        return OK
    print(loader.describe(settings_of(arguments)), end="")
    return OK


def _check(arguments: argparse.Namespace) -> int:
    path = arguments.file or loader.default_path()
    problems = loader.problems(path, os.environ)
    for problem in problems:
        complain(problem, USAGE)
    if problems:
        return USAGE
    print(f"{path or 'defaults and environment'}: valid")
    return OK
