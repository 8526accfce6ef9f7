"""What the commands share: their exit codes, the flags for settings, and how they say what went wrong."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import Any

from appliance.control import socket_path
from appliance.control.client import Control
from appliance.device import logs
from appliance.errors import ConfigError
from appliance.service.signals import INTERRUPTED
from appliance.settings import loader
from appliance.settings.schema import Settings

OK, FAILED, USAGE, NO_MODEL = 0, 1, 2, 3
EXIT_CODES = {
    OK: "done, or stopped as asked",
    FAILED: "something failed while it ran",
    USAGE: "wrong usage or wrong settings",
    NO_MODEL: "no working model",
    INTERRUPTED: "stopped at once by a second Ctrl-C",
}


def add_command(commands: Any, name: str, function: Any, help_: str) -> argparse.ArgumentParser:
    """A command whose function takes the parsed arguments and returns an exit code."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help_, description=help_[0].upper() + help_[1:])
    parser.set_defaults(command=function)
    return parser


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Flags that `settings_of` reads."""
    group = parser.add_argument_group("settings", "`appliance config show` explains each")
    group.add_argument("--config", type=Path, metavar="FILE", help="TOML file (default: /etc/appliance/appliance.toml)")
    group.add_argument("--profile", help="development, production or realtime")
    group.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="any setting; may be repeated"
    )


def settings_of(arguments: argparse.Namespace) -> Settings:
    """From the settings file, the environment and the flags. Raises ConfigError."""
    return loader.load(config_path(arguments), os.environ, flags_of(arguments))


def in_force(arguments: argparse.Namespace) -> Settings:
    """The settings, with the model that was activated last."""
    from appliance.service.loading import in_force

    return in_force(settings_of(arguments))


def config_path(arguments: argparse.Namespace) -> Path | None:
    """The settings file, named or usual."""
    return getattr(arguments, "config", None) or loader.default_path()


def flags_of(arguments: argparse.Namespace) -> dict[str, str]:
    """The settings among the flags, by `section.key`. Raises ConfigError."""
    flags: dict[str, str] = {}
    for item in getattr(arguments, "set", []):
        key, equals, value = item.partition("=")
        if not equals:
            raise ConfigError(f"--set {item}: write SECTION.KEY=VALUE, for example --set server.port=9000")
        flags[key.strip()] = value.strip()
    for name, value in vars(arguments).items():
        if value is not None and (name == "profile" or "." in name):
            flags[name] = value
    return flags


def running_service() -> Control:
    """A line to the service that runs on this machine."""
    return Control(socket_path.control_sockets(os.environ, os.getuid()))


def complain(error: object, code: int) -> int:
    """Say what went wrong; the exit code."""
    logging.getLogger(__name__).debug("exit code %d", code)
    print(f"appliance: {printable(str(error))}", file=sys.stderr)
    return code


def printable(text: str) -> str:
    """The text for a terminal: what comes out of file names and models cannot move its cursor or forge its lines."""
    return "\n".join(logs.escaped(line) for line in text.split("\n"))
