"""`appliance model …`: what networks there are, where they come from, and which one is in use."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.cli.arguments import (
    FAILED,
    NO_MODEL,
    OK,
    add_command,
    add_settings,
    complain,
    printable,
    running_service,
    settings_of,
)
from appliance.control.client import NoService
from appliance.device import logs
from appliance.device.logs import escaped
from appliance.errors import ConfigError, ModelError
from appliance.settings.schema import Settings

if TYPE_CHECKING:
    from appliance.workshop.declared import Declaration

_NO_MODEL_CODES = ("model_missing", "model_corrupt", "model_unsupported", "model_fetch_failed")

_PACKED = (".gz", ".xz", ".bz2", ".tar", ".tgz", ".txz", ".zip")

Run = Callable[[Settings, argparse.Namespace], int]


def add(model: argparse.ArgumentParser) -> None:
    """Put the commands under `appliance model`."""
    commands = model.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Run, help_: str) -> argparse.ArgumentParser:
        parser = add_command(commands, name, partial(_reported, run), help_)
        add_settings(parser)
        return parser

    command("list", _list, "list the bundles, checked; * is in use")
    verify = command("verify", _verify, "check that bundles are whole and can be opened")
    verify.add_argument("names", nargs="*", metavar="NAME", help="default: all")

    activate = command("activate", _activate, "use another model, if it works and sees what the present one sees")
    activate.add_argument("name", metavar="NAME", help="as `appliance model list` names it")
    activate.add_argument("--pictures", type=Path, metavar="FOLDER", help="also compare the two on these pictures")
    activate.add_argument("--force", action="store_true", help="whatever the comparison says; it must still work")
    command("rollback", _roll_back, "use the model again that was in use before")

    take_in = command("import", _import, "take in a bundle, a folder that `yolo export` wrote, or a network file")
    take_in.add_argument("source", type=Path, metavar="SOURCE", help="a folder, a .zip or .tar.gz of one, or a file")
    take_in.add_argument("--head", metavar="HEAD", help="how a network is read that does not say so: yolox, picodet, …")
    take_in.add_argument("--classes", type=Path, metavar="FILE", help="with --head: its classes, one a line (COCO's)")
    take_in.add_argument("--name", help="what it is to be called here (default: the source's name)")
    take_in.add_argument("--force", action="store_true", help="replace a model of this name")
    remove = command("remove", _remove, "delete a bundle that is not in use")
    remove.add_argument("name", metavar="NAME")

    fetch = command("fetch", _fetch, "bring the default model, YOLO11n, unless it is there")
    fetch.add_argument(
        "--permissive", nargs="?", const="", metavar="NAME", help="instead one licensed Apache-2.0: SSD MobileNetV3"
    )
    fetch.add_argument("--force", action="store_true", help="bring it again")
    fetch.add_argument("--onnx", action="store_true", help="put the ONNX file beside it, for engines that read it")
    fetch.add_argument("--keep-source", action="store_true", help="keep the ONNX file it was made from")

    export = command("export", _export, "make a bundle of Ultralytics' weights, or of your own")
    export.add_argument("weights", metavar="WEIGHTS", help="a .pt file, or a name that Ultralytics fetches: yolo26n.pt")
    export.add_argument("--name", help="what it is to be called here (default: the file's name)")
    export.add_argument("--on", type=Path, metavar="FOLDER", help="hold it against its weights on these")
    export.add_argument("--onnx", action="store_true", help="put the ONNX file beside it, for engines that read it")
    export.add_argument("--int8", action="store_true", help="then make an INT8 model of it; needs --calibration")
    export.add_argument("--force", action="store_true", help="replace a model of this name")
    _add_calibration(export, required=False)

    quantize = command("quantize", _quantize, "make an INT8 model of one, if it sees as well")
    quantize.add_argument("name", metavar="NAME", help="the model, as `appliance model list` names it")
    quantize.add_argument("--out", metavar="NAME", help="the new model's name (default: NAME-int8)")
    _add_calibration(quantize, required=True)


def _add_calibration(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument(
        "--calibration", type=Path, required=required, metavar="FOLDER", help="pictures like those of your cameras"
    )
    parser.add_argument("--labels", type=Path, metavar="FOLDER", help="YOLO's .txt labels (default: ../labels)")
    parser.add_argument(
        "--max-drop", type=float, default=1.0, metavar="POINTS", help="accuracy it may lose (default: %(default)s)"
    )
    parser.add_argument(
        "--pictures", type=int, default=300, metavar="N", help="use at most so many, half of them to judge by (300)"
    )


def _reported(run: Run, arguments: argparse.Namespace) -> int:
    """Run one command; a model that cannot be had or used is one line and exit code 3, what else went wrong is 1."""
    logs.set_up("warning")
    try:
        return run(settings_of(arguments), arguments)
    except (ModelError, NoService) as error:
        return complain(error, NO_MODEL if error.code in _NO_MODEL_CODES else FAILED)
    except PermissionError as error:
        return complain(f"{error.filename} may not be changed by you; use sudo", FAILED)


def _say(line: str) -> None:
    print(printable(line), flush=True)


def _list(settings: Settings, arguments: argparse.Namespace) -> int:
    from appliance.models import active, store

    models_dir, configured = Path(settings.model.dir), settings.model.name
    in_use = active.read(models_dir, configured).name
    found = store.entries(models_dir)
    for name, entry in found.items():
        mark = "*" if name == in_use else " "
        if isinstance(entry, ModelError):
            _say(f"{mark} {escaped(name):<16} broken: {escaped(str(entry))}")
            continue
        sizes = f"{entry.fixed_size.width}x{entry.fixed_size.height}" if entry.fixed_size else "any size"
        precision = entry.precision or "float"
        facts = (entry.task, f"{len(entry.classes)} classes", sizes, precision, entry.license)
        _say(f"{mark} {escaped(name):<16} {', '.join(facts)}")
    if in_use != configured:
        _say(f'  {in_use} was activated in place of {configured} (model.name = "{configured}")')
    if in_use not in found:
        _say(f"  {in_use} is not here; `appliance model fetch` brings the default model")
    return NO_MODEL if isinstance(found.get(in_use), (ModelError, type(None))) else OK


def _verify(settings: Settings, arguments: argparse.Namespace) -> int:
    from appliance.models import bundle, network, store

    models_dir, worst = Path(settings.model.dir), OK
    for name in arguments.names or store.names(models_dir):
        folder = store.folder_of(models_dir, name)
        try:
            found = bundle.read(folder)
            network.inspect(found.network)
        except ModelError as error:
            _say(f"✗ {escaped(name)}: {escaped(str(error))}")
            worst = NO_MODEL
            continue
        checked = f"{len(found.files)} files as in the manifest" if found.files else "no manifest to hold it against"
        _say(f"✓ {escaped(name)}: opens, {checked}")
    return worst


def _activate(settings: Settings, arguments: argparse.Namespace) -> int:
    from appliance.commands.activate import Choice

    Choice(settings, running_service(), _say).activate(arguments.name, arguments.pictures, force=arguments.force)
    return OK


def _roll_back(settings: Settings, arguments: argparse.Namespace) -> int:
    from appliance.commands.activate import Choice

    Choice(settings, running_service(), _say).roll_back()
    return OK


def _import(settings: Settings, arguments: argparse.Namespace) -> int:
    from appliance.workshop import declared, importing, trial_run

    source = arguments.source
    name = arguments.name or _without(source.resolve().name, *_PACKED, *declared.NETWORKS)
    declaration = _declaration(arguments.head, arguments.classes) if arguments.head or arguments.classes else None
    found = importing.import_model(
        source, Path(settings.model.dir), name, force=arguments.force, declaration=declaration,
        check_runs=partial(trial_run.check_runs, settings),
    )  # fmt: skip
    _say(f"{found.name}: {found.task}, {len(found.classes)} classes. Use it with `appliance model activate {name}`")
    return OK


def _without(name: str, *suffixes: str) -> str:
    for suffix in suffixes:
        name = name.removesuffix(suffix)
    return name


def _declaration(head: str | None, classes: Path | None) -> Declaration:
    from appliance.workshop.declared import Declaration

    if head is None:
        raise ModelError("--classes goes with --head", "model_unsupported")
    if classes is None:
        return Declaration(head)
    try:
        lines = classes.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"--classes {classes} cannot be read: {error}", "model_unsupported") from None
    return Declaration(head, tuple(line.strip() for line in lines if line.strip()))


def _remove(settings: Settings, arguments: argparse.Namespace) -> int:
    from appliance.models import store

    store.remove(Path(settings.model.dir), arguments.name, settings.model.name)
    _say(f"{arguments.name} is deleted")
    return OK


def _fetch(settings: Settings, arguments: argparse.Namespace) -> int:
    from appliance.workshop import known_models
    from appliance.workshop.fetch import fetch

    models_dir = Path(settings.model.dir)
    if arguments.permissive is not None and (arguments.onnx or arguments.keep_source):
        raise ConfigError("--onnx and --keep-source are of the default model; leave out --permissive")
    model = known_models.YOLO11N if arguments.permissive is None else known_models.permissive(arguments.permissive)
    bundle = fetch(
        models_dir, _say, model=model, force=arguments.force, keep_source=arguments.keep_source,
        keep_onnx=arguments.onnx,
    )  # fmt: skip
    _say(f"{bundle.name} is ready in {models_dir / bundle.name}")
    return OK


def _export(settings: Settings, arguments: argparse.Namespace) -> int:
    from appliance.workshop.export.export import export

    if arguments.int8 and arguments.calibration is None:
        raise ModelError("--int8 needs --calibration FOLDER: pictures like those of your cameras", "export_failed")
    name = arguments.name or Path(arguments.weights).name.removesuffix(".pt")
    made = export(
        settings, arguments.weights, name=name, pictures=arguments.on or arguments.calibration,
        onnx=arguments.onnx, force=arguments.force, report=_say,
    )  # fmt: skip
    where = Path(settings.model.dir) / name
    _say(f"{name} ({made.license}) is ready in {where}. Use it with `appliance model activate {name}`")
    if arguments.int8:
        arguments.name, arguments.out = name, None
        return _quantize(settings, arguments)
    return OK


def _quantize(settings: Settings, arguments: argparse.Namespace) -> int:
    from appliance.workshop.quantize.quantize import quantize

    out = arguments.out or f"{arguments.name}-int8"
    quantize(
        settings, arguments.name, pictures=arguments.calibration, labels=arguments.labels, out=out,
        max_drop=arguments.max_drop, most=arguments.pictures, report=_say,
    )  # fmt: skip
    _say(f"{out} is ready in {Path(settings.model.dir) / out}. Use it with `appliance model activate {out}`")
    return OK
