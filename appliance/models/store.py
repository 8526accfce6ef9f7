"""The folder of bundles: what is in it, and removing one."""

from __future__ import annotations

from pathlib import Path

from appliance.errors import ModelError, did_you_mean
from appliance.models import active, scratch
from appliance.models import bundle as bundles
from appliance.models.bundle import Bundle
from appliance.models.names import is_plain, shown


def entries(models_dir: Path) -> dict[str, Bundle | ModelError]:
    """Every bundle under the folder by name, or what is wrong with it."""
    found: dict[str, Bundle | ModelError] = {}
    for name in names(models_dir):
        try:
            found[name] = bundles.read(models_dir / name)
        except ModelError as error:
            found[name] = error
    return found


def names(models_dir: Path) -> list[str]:
    """The folders that are there, whatever is in them."""
    folders = sorted(path for path in models_dir.iterdir() if path.is_dir()) if models_dir.is_dir() else []
    return [folder.name for folder in folders if not folder.name.startswith(".")]


def folder_of(models_dir: Path, name: str) -> Path:
    """Where the model of this name lies. Raises ModelError model_missing when there is none, naming the nearest."""
    if name not in names(models_dir):
        known = names(models_dir)
        listed = shown(", ".join(known))
        there = shown(did_you_mean(name, known)) or (f"; there are: {listed}" if known else "; the folder is empty")
        raise ModelError(f"there is no model '{shown(name)}' in {models_dir}{there}", "model_missing")
    return models_dir / name


def check_new_name(name: str) -> None:
    """Raises ModelError model_unsupported for what cannot be the name of a bundle's folder."""
    if not is_plain(name):
        raise ModelError(
            f"{name[:100]!r} cannot be a model's name: it becomes a folder in model.dir", "model_unsupported"
        )


def remove(models_dir: Path, name: str, configured: str) -> None:
    """Delete a bundle. Raises ModelError model_missing, or model_not_activated for the one that is in use."""
    folder = folder_of(models_dir, name)
    for used in (active.read(models_dir, configured).name, configured):
        if name == used:
            raise ModelError(f"{name} is in use: activate another one first", active.NOT_ACTIVATED)
    try:
        with scratch.folder(models_dir, "remove") as place:
            folder.rename(place / name)  # gone at once, and never half there
    except OSError as error:
        raise ModelError(f"{folder} cannot be deleted: {error.strerror}", "model_corrupt") from None
