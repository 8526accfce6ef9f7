"""Import a model from outside into the folder of bundles."""

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

Prove = Callable[[Path], None]


def import_model(
    source: Path,
    models_dir: Path,
    name: str,
    *,
    force: bool = False,
    declaration: Declaration | None = None,
    prove: Prove = lambda folder: None,
) -> Bundle:
    """Copy a bundle from outside into the store as `name`: a folder, a .zip or a .tar.* archive of one.

    What `yolo export` wrote is taken as well, and gets a manifest, so that damage is noticed from then on; and a
    network file, alone or in a folder, that says itself how it is read, or whose declaration is given or lies beside
    it. `prove` is given the folder of the new bundle, and raises ModelError when it does not run. It appears whole or
    not at all. Raises ModelError: model_missing, model_corrupt, model_unsupported.
    """
    store.check_new_name(name)
    folder = models_dir / name
    if folder.exists() and not force:
        raise ModelError(f"{folder} is there already; --force replaces it, --name gives another", "model_unsupported")
    if not source.exists():
        raise ModelError(f"there is no {source}", "model_missing")
    try:
        models_dir.mkdir(parents=True, exist_ok=True)
        with scratch.folder(models_dir, "import") as place:
            copy, new = place / ".copy", place / name
            copy.mkdir()
            try:
                stage(source, copy, is_declared=declaration is not None)
                _build(copy, new, source, declaration)
                prove(new)
            except ModelError as error:
                raise ModelError(_in_terms_of(source, copy, new, str(error)), error.code) from error.__cause__
            with scratch.appearing(folder) as fresh:
                for path in new.iterdir():
                    path.rename(fresh / path.name)
    except OSError as error:
        raise ModelError(f"{error.filename or source}: {error.strerror or error}", "model_corrupt") from None
    return bundles.read(folder)


def _build(copy: Path, new: Path, source: Path, declaration: Declaration | None) -> None:
    """Write what was copied as a bundle."""
    if declaration is not None or (copy / declared.FILE).exists():
        told = declaration or declared.read(copy / declared.FILE)
        declared.build(declared.network_in(copy), new, told)
    elif source.is_file() and source.suffix == ".onnx":
        onnx_bundle.build(copy / source.name, new, source.name, keep_onnx=True)
    elif source.is_file() and source.suffix in declared.NETWORKS:
        raise ModelError(f"{source} does not say how it is read: give --head, or its folder", "model_unsupported")
    else:
        read = bundles.read(copy)
        with scratch.appearing(new) as fresh:
            for file in read.files or [path.name for path in copy.iterdir()]:
                (copy / file).rename(fresh / file)
            bundle = replace(read, network=fresh / read.network.name, source=read.source or source.name)
            inspect(bundle.network)  # that it opens
            bundles.write_manifest(bundle)


def _in_terms_of(source: Path, copy: Path, new: Path, text: str) -> str:
    """An error about the copy as one about what was copied."""
    whole = source if source.is_dir() or source.suffix not in declared.NETWORKS else source.parent
    return text.replace(str(copy), str(whole)).replace(str(new), str(whole))
