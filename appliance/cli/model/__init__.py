"""`appliance model …`."""

from __future__ import annotations

import argparse

from appliance.cli.model import create, manage


def add(model: argparse.ArgumentParser) -> None:
    """Add the commands of `appliance model`."""
    model.set_defaults(manages_models=True)
    commands = model.add_subparsers(required=True, metavar="COMMAND")
    manage.add(commands)
    create.add(commands)
