"""What the commands of `appliance model` share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

from appliance.cli.arguments import FAILED, NO_MODEL, add_command, add_settings, complain, printable, settings_of
from appliance.control.client import NoService
from appliance.device import logs
from appliance.errors import ModelError
from appliance.settings.schema import Settings

_NO_MODEL_CODES = ("model_missing", "model_corrupt", "model_unsupported", "model_fetch_failed")

ModelCommand = Callable[[Settings, argparse.Namespace], int]


def add_model_command(commands: Any, name: str, run: ModelCommand, help_: str) -> argparse.ArgumentParser:
    """Add a command with the flags for settings."""
    parser = add_command(commands, name, partial(_run, run), help_)
    add_settings(parser)
    return parser


def _run(run: ModelCommand, arguments: argparse.Namespace) -> int:
    """Run a command. Exit code 3: a model is missing or unusable; 1: another failure. Either prints one line."""
    logs.set_up("warning")
    try:
        return run(settings_of(arguments), arguments)
    except (ModelError, NoService) as error:
        return complain(error, NO_MODEL if error.code in _NO_MODEL_CODES else FAILED)
    except PermissionError as error:
        return complain(f"{error.filename}: permission denied; use sudo", FAILED)


def report(line: str) -> None:
    """Print one line of output."""
    print(printable(line), flush=True)
