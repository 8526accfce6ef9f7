"""The command line: arguments in, exit codes out.

Each file here is one command, or a group such as `appliance model`. docs/operations.md lists the exit codes and what to
do about them.
"""

from __future__ import annotations

import argparse
import sys

from appliance import __version__
from appliance.cli import (
    address,
    backup,
    bench,
    board,
    camera,
    cameras,
    detect,
    doctor,
    drain,
    erase,
    governor,
    health,
    model,
    serve,
    settings,
    support_bundle,
    token,
    update,
)
from appliance.cli.arguments import EXIT_CODES, FAILED, NO_MODEL, OK, USAGE, complain
from appliance.errors import ApplianceError, ConfigError, ModelError

__all__ = ["EXIT_CODES", "main"]


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.command(arguments))
    except ConfigError as error:
        return complain(error, USAGE)
    except ModelError as error:
        hint = "" if error.code == "model_fetch_failed" else ". Run `appliance model fetch --force`, or set model.name"
        return complain(f"{error}{hint}", NO_MODEL)
    except ApplianceError as error:
        return complain(error, FAILED)
    except KeyboardInterrupt:
        return OK
    except BrokenPipeError:
        sys.stderr.close()
        return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="appliance", description="Detect objects in frames that cameras push.")
    parser.add_argument("--version", action="version", version=f"appliance {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (serve, camera, detect, health, support_bundle, bench, doctor, board, address, backup, erase, drain):
        command.add(commands)
    settings.add(commands.add_parser("config", help="show or check the settings"))
    governor.add(commands.add_parser("governor", help="show or hold the throttle level of the running service"))
    cameras.add(commands.add_parser("cameras", help="list and forget the cameras of the running service"))
    token.add(commands.add_parser("token", help="make, list, rotate and revoke tokens; approve cameras"))
    token.add_audit(commands)
    update.add(commands.add_parser("update", help="look for, install, watch and undo signed updates"))
    model.add(commands.add_parser("model", help="list, get, activate, export and quantize models"))
    return parser
