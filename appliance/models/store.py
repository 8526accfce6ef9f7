"""The models folder: list, find and remove bundles."""

from __future__ import annotations

from pathlib import Path

from appliance.errors import ModelError, did_you_mean
from appliance.models import active, scratch
from appliance.models import bundle as bundles
from appliance.models.bundle import Bundle
from appliance.models.names import is_plain, shown


def entries(models_dir: Path) -> dict[str, Bundle | ModelError]:
    """Every bundle in the folder by name, or the reason why it is unusable."""
    found: dict[str, Bundle | ModelError] = {}
    for name in names(models_dir):
        try:
            found[name] = bundles.read(models_dir / name)
        except ModelError as error:
            found[name] = error
    return found


def names(models_dir: Path) -> list[str]:
    """The names of all folders, valid bundles or not."""
    folders = sorted(path for path in models_dir.iterdir() if path.is_dir()) if models_dir.is_dir() else []
    return [folder.name for folder in folders if not folder.name.startswith(".")]


def folder_of(models_dir: Path, name: str) -> Path:
    """The folder of this model. Raises ModelError model_missing with the most similar name."""
    if name not in names(models_dir):
        known = names(models_dir)
        listed = shown(", ".join(known))
        hint = shown(did_you_mean(name, known)) or (f"; available: {listed}" if known else "; the folder is empty")
        raise ModelError(f"no model '{shown(name)}' in {models_dir}{hint}", "model_missing")
    return models_dir / name


def check_new_name(name: str) -> None:
    """Check a name for a new bundle. Raises ModelError model_unsupported."""
    if not is_plain(name):
        raise ModelError(f"invalid model name {name[:100]!r}: it must be a plain folder name", "model_unsupported")


def remove(models_dir: Path, name: str, configured: str) -> None:
    """Delete a bundle. Raises ModelError model_missing, or model_not_activated if it is in use."""
    folder = folder_of(models_dir, name)
    for used in (active.read(models_dir, configured).name, configured):
        if name == used:
            raise ModelError(f"{name} is in use. Activate another model first", active.NOT_ACTIVATED)
    try:
        with scratch.folder(models_dir, "remove") as place:
            folder.rename(place / name)  # disappears at once, never half deleted
    except OSError as error:
        raise ModelError(f"cannot delete {folder}: {error.strerror}", "model_corrupt") from None
