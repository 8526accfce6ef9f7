"""`appliance model list`, `verify`, `activate`, `rollback` and `remove`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from appliance.cli.arguments import NO_MODEL, OK, running_service
from appliance.cli.model.command import add_model_command, report
from appliance.device.logs import escaped
from appliance.errors import ModelError
from appliance.health.words import counted
from appliance.settings.schema import Settings


def add(commands: Any) -> None:
    """Add the commands."""
    add_model_command(commands, "list", _list, "list the installed models and check them; * marks the model in use")
    verify = add_model_command(commands, "verify", _verify, "check that models are complete and can be loaded")
    verify.add_argument("names", nargs="*", metavar="NAME", help="default: all")

    activate = add_model_command(
        commands, "activate", _activate, "switch to another model, if it works and detects what the current one detects"
    )
    activate.add_argument("name", metavar="NAME", help="a name from `appliance model list`")
    activate.add_argument("--pictures", type=Path, metavar="FOLDER", help="also compare both models on these pictures")
    activate.add_argument("--force", action="store_true", help="ignore the comparison; the model must still work")
    add_model_command(commands, "rollback", _roll_back, "switch back to the previous model")

    remove = add_model_command(commands, "remove", _remove, "delete a model that is not in use")
    remove.add_argument("name", metavar="NAME")


def _list(settings: Settings, arguments: argparse.Namespace) -> int:
    from appliance.models import active, store

    models_dir, configured = Path(settings.model.dir), settings.model.name
    in_use = active.read(models_dir, configured).name
    entries = store.entries(models_dir)
    for name, entry in entries.items():
        mark = "*" if name == in_use else " "
        if isinstance(entry, ModelError):
            report(f"{mark} {escaped(name):<16} broken: {escaped(str(entry))}")
            continue
        sizes = f"{entry.fixed_size.width}x{entry.fixed_size.height}" if entry.fixed_size else "any size"
        precision = entry.precision or "float"
        facts = (entry.task, counted(len(entry.classes), "class", "classes"), sizes, precision, entry.license)
        report(f"{mark} {escaped(name):<16} {', '.join(facts)}")
    if in_use != configured:
        report(f'  {in_use} was activated and replaces {configured} (model.name = "{configured}")')
    if in_use not in entries:
        report(f"  {in_use} is not installed. Download the default model: appliance model fetch")
    return NO_MODEL if isinstance(entries.get(in_use), (ModelError, type(None))) else OK


def _verify(settings: Settings, arguments: argparse.Namespace) -> int:
    from appliance.models import bundle, network, store

    models_dir, exit_code = Path(settings.model.dir), OK
    for name in arguments.names or store.names(models_dir):
        folder = store.folder_of(models_dir, name)
        try:
            model = bundle.read(folder)
            network.inspect(model.network)
        except ModelError as error:
            report(f"✗ {escaped(name)}: {escaped(str(error))}")
            exit_code = NO_MODEL
            continue
        files = counted(len(model.files), "file matches", "files match")
        checked = f"{files} the manifest" if model.files else "no manifest to check it against"
        report(f"✓ {escaped(name)}: loads, {checked}")
    return exit_code


def _activate(settings: Settings, arguments: argparse.Namespace) -> int:
    from appliance.commands.activate import ModelSwitch

    ModelSwitch(settings, running_service(), report).activate(arguments.name, arguments.pictures, force=arguments.force)
    return OK


def _roll_back(settings: Settings, arguments: argparse.Namespace) -> int:
    from appliance.commands.activate import ModelSwitch

    ModelSwitch(settings, running_service(), report).roll_back()
    return OK


def _remove(settings: Settings, arguments: argparse.Namespace) -> int:
    from appliance.models import store

    store.remove(Path(settings.model.dir), arguments.name, settings.model.name)
    report(f"{arguments.name} deleted")
    return OK
