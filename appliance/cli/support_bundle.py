"""`appliance support-bundle`."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

from appliance.cli.arguments import (
    FAILED,
    OK,
    add_command,
    add_settings,
    checkout,
    complain,
    config_path,
    flags_of,
    in_force,
    running_service,
)
from appliance.device import logs
from appliance.errors import ConfigError
from appliance.settings import loader
from appliance.settings.schema import Settings
from appliance.settings.secrets import secrets_of


def add(commands: Any) -> None:
    """Add the command."""
    bundle = add_command(
        commands,
        "support-bundle",
        _bundle,
        "write one file for support, without secrets: state, history, logs, settings",
    )
    add_settings(bundle)
    bundle.add_argument("--out", metavar="FILE", default="", help="default: support-HOST-DATE.tar.gz here; -: stdout")
    bundle.add_argument("--handed-over", action="store_true", help=argparse.SUPPRESS)


def _bundle(arguments: argparse.Namespace) -> int:
    files, secrets = _handed_over(arguments) if arguments.handed_over else _collected(arguments)
    from appliance.commands.support_bundle import pack

    name = f"support-{socket.gethostname().partition('.')[0]}-{time.strftime('%Y-%m-%d-%H%M')}"
    content = pack.pack(files, name, secrets, time.time())
    if arguments.out == "-":
        sys.stdout.buffer.write(content)
        return OK
    path = Path(arguments.out or f"{name}.tar.gz")
    try:
        path.write_bytes(content)
    except OSError as error:
        return complain(f"{path} cannot be written: {error.strerror}", FAILED)
    print(f"{path}: {len(content) / 1e6:.1f} MB. Read it before you pass it on; open index.html in it with a browser.")
    return OK


def _handed_over(arguments: argparse.Namespace) -> tuple[dict[str, bytes], set[str]]:
    """The files, and the secrets to remove, of the service that has started this process and writes to its stdin."""
    logs.set_up("error")
    import msgspec

    from appliance.commands.support_bundle import collect
    from appliance.service.reports import HandedOver

    given = msgspec.json.decode(sys.stdin.buffer.read(), type=HandedOver)
    files = collect.collect(given.settings, lambda name: given.reports[name].encode())
    return files, {*secrets_of(given.settings), *_secrets_in(arguments)}


def _collected(arguments: argparse.Namespace) -> tuple[dict[str, bytes], set[str]]:
    """The same of the running service, and of the settings that the flags name."""
    settings, problem = _usable(arguments)
    logs.set_up("error")
    from appliance.commands.support_bundle import collect

    files = collect.collect(settings, running_service().report)
    if problem is not None:
        files["settings-problem.txt"] = f"The settings are invalid: {problem}\n".encode()
    return files, _secrets_in(arguments)


def _usable(arguments: argparse.Namespace) -> tuple[Settings, ConfigError | None]:
    """The settings. If they are invalid, their valid part and the error: a bundle is needed then more than ever."""
    try:
        return in_force(arguments), None
    except ConfigError as error:
        return loader.salvage(config_path(arguments), os.environ, flags_of(arguments), checkout()), error


def _secrets_in(arguments: argparse.Namespace) -> set[str]:
    """Those in the file and the environment, also where the settings are invalid."""
    return loader.secrets_in(config_path(arguments), os.environ, flags_of(arguments))
