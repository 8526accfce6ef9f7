"""The command line: arguments in, exit codes out.

Each file here is one command, or a group such as `appliance model`. docs/operations.md lists the exit codes and what to
do about them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
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
    tune,
    update,
)
from appliance.cli.arguments import EXIT_CODES, FAILED, NO_MODEL, OK, USAGE, complain
from appliance.cli.plain_text import replace_unprintable
from appliance.errors import ApplianceError, ConfigError, ModelError

__all__ = ["EXIT_CODES", "main"]


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code. Whatever fails ends it with one line."""
    _open_closed_streams()
    replace_unprintable()
    try:
        try:
            return _run(argv)
        finally:
            sys.stdout.flush()  # what cannot be written shows here, not after the exit code is fixed
    except BrokenPipeError:
        _discard_output()
        return OK
    except OSError as error:
        _discard_output()
        where = f"{error.filename}: " if error.filename else "cannot write the output: "
        return complain(f"{where}{error.strerror or error}", FAILED)
    except KeyboardInterrupt:
        return OK


def _run(argv: list[str] | None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.command(arguments))
    except ConfigError as error:
        return complain(error, USAGE)
    except ModelError as error:
        return complain(f"{error}{_advice(error, arguments)}", NO_MODEL)
    except ApplianceError as error:
        return complain(error, FAILED)


def _advice(error: ModelError, arguments: argparse.Namespace) -> str:
    """How to get a usable model; nothing where the command makes or manages models, whose errors say what to do."""
    if "manages_models" in arguments or error.code not in {"model_missing", "model_corrupt", "model_unsupported"}:
        return ""
    return ". Run `appliance model fetch --force`, or set model.name"


def _open_closed_streams() -> None:
    """Replace streams that were closed before the start (`>&-`): Python has None in their place."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # until the process ends


def _discard_output() -> None:
    """Drop what nobody reads, or Python complains about it once more when it ends."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="appliance", description="Detect objects in frames that cameras push.")
    parser.add_argument("--version", action="version", version=f"appliance {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (
        serve,
        camera,
        detect,
        health,
        support_bundle,
        bench,
        tune,
        doctor,
        board,
        address,
        backup,
        erase,
        drain,
    ):
        command.add(commands)
    settings.add(commands.add_parser("config", help="show or check the settings"))
    governor.add(commands.add_parser("governor", help="show or hold the throttle level of the running service"))
    cameras.add(commands.add_parser("cameras", help="list and forget the cameras of the running service"))
    token.add(commands.add_parser("token", help="make, list, rotate and revoke tokens; approve cameras"))
    token.add_audit(commands)
    update.add(commands.add_parser("update", help="look for, install, watch and undo signed updates"))
    model.add(commands.add_parser("model", help="list, fetch, import, activate, export and quantize models"))
    return parser
