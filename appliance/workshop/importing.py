"""Import a model into the models folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from appliance.errors import ModelError
from appliance.models import bundle as bundles
from appliance.models import scratch, store
from appliance.models.bundle import Bundle
from appliance.models.network import inspect
from appliance.workshop import declared, onnx_bundle
from appliance.workshop.declared import Declaration
from appliance.workshop.staging import stage

CheckRuns = Callable[[Path], None]
"""Takes the folder of a new bundle. Raises ModelError if the model does not run."""


def import_model(
    source: Path,
    models_dir: Path,
    name: str,
    *,
    force: bool = False,
    declaration: Declaration | None = None,
    check_runs: CheckRuns = lambda folder: None,
) -> Bundle:
    """Copy a model into the models folder as the bundle `name`, which appears complete or not at all.

    `source`: a bundle or a folder written by `yolo export`, which gets a manifest so that damage is detected later; a
    .zip or .tar.* archive of either; or a network file, alone or in a folder, with metadata or a declaration.
    Raises ModelError: model_missing, model_corrupt, model_unsupported.
    """
    store.check_new_name(name)
    folder = models_dir / name
    if folder.exists() and not force:
        raise ModelError(
            f"{folder} already exists. Use --force to replace it, or --name for another name", "model_unsupported"
        )
    if not source.exists():
        raise ModelError(f"{source} does not exist", "model_missing")
    try:
        models_dir.mkdir(parents=True, exist_ok=True)
        with scratch.folder(models_dir, "import") as place:
            copy, new = place / ".copy", place / name
            copy.mkdir()
            try:
                stage(source, copy, is_declared=declaration is not None)
                _build(copy, new, source, declaration)
                check_runs(new)
            except ModelError as error:
                raise ModelError(_about_source(str(error), source, copy, new), error.code) from error.__cause__
            with scratch.appearing(folder, replace=force) as fresh:
                for path in new.iterdir():
                    path.rename(fresh / path.name)
    except OSError as error:
        raise ModelError(f"{error.filename or source}: {error.strerror or error}", "model_corrupt") from None
    return bundles.read(folder)


def _build(copy: Path, new: Path, source: Path, declaration: Declaration | None) -> None:
    """Make a bundle of the copied files."""
    if declaration is not None or (copy / declared.FILE).exists():
        declaration = declaration or declared.read(copy / declared.FILE)
        declared.build(declared.network_in(copy), new, declaration)
    elif source.is_file() and source.suffix == ".onnx":
        onnx_bundle.build(copy / source.name, new, source.name, keep_onnx=True)
    elif source.is_file() and source.suffix in declared.NETWORKS:
        raise ModelError(
            f"{source} contains no metadata. Declare its head with --head, or import a folder with a model.toml",
            "model_unsupported",
        )
    else:
        read = bundles.read(copy)
        with scratch.appearing(new) as fresh:
            for file in read.files or [path.name for path in copy.iterdir()]:
                (copy / file).rename(fresh / file)
            bundle = replace(read, network=fresh / read.network.name, source=read.source or source.name)
            inspect(bundle.network)  # raises if it cannot be opened
            bundles.write_manifest(bundle)


def _about_source(text: str, source: Path, copy: Path, new: Path) -> str:
    """The text of an error about the copy, with the paths of the source."""
    original = source if source.is_dir() or source.suffix not in declared.NETWORKS else source.parent
    for made in (copy.absolute(), new.absolute(), copy, new):  # other processes get absolute paths
        text = text.replace(str(made), str(original))
    return text
