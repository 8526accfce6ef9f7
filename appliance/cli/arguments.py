"""What the commands share: exit codes, the flags for settings, and error output."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import Any, get_args

from appliance.control import socket_path
from appliance.control.client import Control
from appliance.device import logs
from appliance.errors import ConfigError
from appliance.service.signals import INTERRUPTED
from appliance.settings import loader
from appliance.settings.schema import ProfileName, Settings

OK, FAILED, USAGE, NO_MODEL = 0, 1, 2, 3
EXIT_CODES = {
    OK: "success, or stopped on request",
    FAILED: "a failure at run time",
    USAGE: "wrong usage or invalid settings",
    NO_MODEL: "no usable model",
    INTERRUPTED: "stopped at once by a second Ctrl-C",
}


def add_command(commands: Any, name: str, function: Any, help_: str) -> argparse.ArgumentParser:
    """Add a command whose function takes the parsed arguments and returns an exit code."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help_, description=help_[0].upper() + help_[1:])
    parser.set_defaults(command=function)
    return parser


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the flags that `settings_of` reads."""
    group = parser.add_argument_group("settings", "`appliance config show` explains each setting")
    group.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="TOML file (default: $APPLIANCE_CONFIG or /etc/appliance/appliance.toml)",
    )
    group.add_argument("--profile", help="development, production or realtime")
    group.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="set any setting; can be repeated"
    )


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Load the settings from the file, the environment and the flags. Raises ConfigError."""
    return loader.load(config_path(arguments), os.environ, flags_of(arguments), checkout())


def in_force(arguments: argparse.Namespace) -> Settings:
    """Load the settings, with the model that was activated last. Raises ConfigError."""
    from appliance.service.loading import in_force

    return in_force(settings_of(arguments))


def config_path(arguments: argparse.Namespace) -> Path | None:
    """The settings file: the one given with `--config`, else the default one."""
    return getattr(arguments, "config", None) or loader.default_path()


def checkout() -> Path | None:
    """The repository from which the package is used; None: it is installed."""
    root = Path(loader.__file__).parents[2]
    return root if (root / "Makefile").exists() and (root / "pyproject.toml").exists() else None


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
    if getattr(arguments, "profile", None) not in (None, *get_args(ProfileName)):
        raise ConfigError("--profile: choose development, production or realtime")
    return flags


def running_service() -> Control:
    """A client of the service that runs on this device."""
    return Control(socket_path.control_sockets(os.environ, os.getuid()))


def confirmed(question: str, word: str) -> bool:
    """Whether a person on the terminal types this word; False without a terminal."""
    return sys.stdin.isatty() and input(f"{question} Type {word} to continue: ").strip() == word


def complain(error: object, code: int) -> int:
    """Print an error and return the exit code."""
    logging.getLogger(__name__).debug("exit code %d", code)
    print(f"appliance: {printable(str(error))}", file=sys.stderr)
    return code


def printable(text: str) -> str:
    """Escape a text for a terminal, so that a file or model name cannot move the cursor or forge a line."""
    return "\n".join(logs.escaped(line) for line in text.split("\n"))
