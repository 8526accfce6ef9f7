"""`appliance model import`, `fetch`, `export` and `quantize`."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.cli.arguments import OK
from appliance.cli.model.command import add_model_command, report
from appliance.errors import ConfigError, ModelError
from appliance.health.words import counted
from appliance.settings.schema import Settings

if TYPE_CHECKING:
    from appliance.workshop.declared import Declaration

_ARCHIVES = (".gz", ".xz", ".bz2", ".tar", ".tgz", ".txz", ".zip")
_ONNX_HELP = "keep the ONNX file next to the model, for engines that read it"


def add(commands: Any) -> None:
    """Add the commands."""
    _add_import(add_model_command(commands, "import", _import, "install a model from a folder, an archive or a file"))
    _add_fetch(add_model_command(commands, "fetch", _fetch, "download the default model, YOLO11n, if it is missing"))
    _add_export(add_model_command(commands, "export", _export, "convert Ultralytics weights to a model and install it"))
    quantize = add_model_command(
        commands, "quantize", _quantize, "make an INT8 version of a model, if its accuracy is good enough"
    )
    quantize.add_argument("name", metavar="NAME", help="a name from `appliance model list`")
    quantize.add_argument("--out", metavar="NAME", help="the new model's name (default: NAME-int8)")
    _add_calibration(quantize, required=True)


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", type=Path, metavar="SOURCE",
        help="a model folder, a folder from `yolo export`, a .zip or .tar.* of one, or a network file",
    )  # fmt: skip
    parser.add_argument(
        "--head", metavar="HEAD", help="the output format, for networks without metadata: yolox, picodet, …"
    )
    parser.add_argument(
        "--classes", type=Path, metavar="FILE", help="with --head: the class names, one per line (default: COCO)"
    )
    parser.add_argument("--name", help="the model's name on this device (default: the name of SOURCE)")
    parser.add_argument("--force", action="store_true", help="replace an installed model of this name")


def _add_fetch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--permissive", nargs="?", const="", metavar="NAME",
        help="download a model with the Apache-2.0 license instead (default: SSD MobileNetV3)",
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="download it again")
    parser.add_argument("--onnx", action="store_true", help=_ONNX_HELP)
    parser.add_argument("--keep-source", action="store_true", help="also keep the downloaded file as source.onnx")


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "weights", metavar="WEIGHTS", help="a .pt file, or a name that Ultralytics downloads, such as yolo26n.pt"
    )
    parser.add_argument("--name", help="the model's name on this device (default: the name of WEIGHTS)")
    parser.add_argument(
        "--on", type=Path, metavar="FOLDER", help="compare the model with its weights on these pictures"
    )
    parser.add_argument("--onnx", action="store_true", help=_ONNX_HELP)
    parser.add_argument("--int8", action="store_true", help="also make an INT8 version; needs --calibration")
    parser.add_argument("--force", action="store_true", help="replace an installed model of this name")
    _add_calibration(parser, required=False)


def _add_calibration(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument(
        "--calibration", type=Path, required=required, metavar="FOLDER", help="pictures like those of your cameras"
    )
    parser.add_argument("--labels", type=Path, metavar="FOLDER", help="YOLO labels in .txt files (default: ../labels)")
    parser.add_argument(
        "--max-drop", type=float, default=1.0, metavar="POINTS", help="largest loss of accuracy (default: %(default)s)"
    )
    parser.add_argument(
        "--pictures", type=int, default=300, metavar="N",
        help="use at most N pictures, half of them to measure accuracy (default: %(default)s)",
    )  # fmt: skip


def _import(settings: Settings, arguments: argparse.Namespace) -> int:
    from appliance.workshop import declared, importing, trial_run

    source = arguments.source
    name = arguments.name or _without(source.resolve().name, *_ARCHIVES, *declared.NETWORKS)
    declaration = _declaration(arguments.head, arguments.classes) if arguments.head or arguments.classes else None
    model = importing.import_model(
        source, Path(settings.model.dir), name, force=arguments.force, declaration=declaration,
        check_runs=partial(trial_run.check_runs, settings),
    )  # fmt: skip
    classes = counted(len(model.classes), "class", "classes")
    report(f"{model.name} installed: {model.task}, {classes}. Use it: appliance model activate {name}")
    return OK


def _without(name: str, *suffixes: str) -> str:
    for suffix in suffixes:
        name = name.removesuffix(suffix)
    return name


def _declaration(head: str | None, classes: Path | None) -> Declaration:
    from appliance.workshop.declared import Declaration

    if head is None:
        raise ModelError("--classes needs --head", "model_unsupported")
    if classes is None:
        return Declaration(head)
    try:
        lines = classes.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"--classes {classes} cannot be read: {error}", "model_unsupported") from None
    return Declaration(head, tuple(line.strip() for line in lines if line.strip()))


def _fetch(settings: Settings, arguments: argparse.Namespace) -> int:
    from appliance.workshop import known_models
    from appliance.workshop.fetch import fetch

    models_dir = Path(settings.model.dir)
    if arguments.permissive is not None and (arguments.onnx or arguments.keep_source):
        raise ConfigError("--onnx and --keep-source apply to the default model only; omit --permissive")
    model = known_models.YOLO11N if arguments.permissive is None else known_models.permissive(arguments.permissive)
    bundle = fetch(
        models_dir, report, model=model, force=arguments.force, keep_source=arguments.keep_source,
        keep_onnx=arguments.onnx,
    )  # fmt: skip
    report(f"{bundle.name} is installed in {models_dir / bundle.name}")
    return OK


def _export(settings: Settings, arguments: argparse.Namespace) -> int:
    from appliance.workshop.export.export import export

    if arguments.int8 and arguments.calibration is None:
        raise ModelError("--int8 needs --calibration FOLDER: pictures like those of your cameras", "export_failed")
    name = arguments.name or Path(arguments.weights).name.removesuffix(".pt")
    exported = export(
        settings, arguments.weights, name=name, pictures=arguments.on or arguments.calibration,
        onnx=arguments.onnx, force=arguments.force, report=report,
    )  # fmt: skip
    where = Path(settings.model.dir) / name
    report(f"{name} ({exported.license}) is installed in {where}. Use it: appliance model activate {name}")
    if arguments.int8:
        arguments.name, arguments.out = name, None
        return _quantize(settings, arguments)
    return OK


def _quantize(settings: Settings, arguments: argparse.Namespace) -> int:
    from appliance.workshop.quantize.quantize import quantize

    out = arguments.out or f"{arguments.name}-int8"
    quantize(
        settings, arguments.name, pictures=arguments.calibration, labels=arguments.labels, out=out,
        max_drop=arguments.max_drop, most=arguments.pictures, report=report,
    )  # fmt: skip
    report(f"{out} is installed in {Path(settings.model.dir) / out}. Use it: appliance model activate {out}")
    return OK
