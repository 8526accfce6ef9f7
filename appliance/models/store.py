"""The folder of bundles: what is there."""

from __future__ import annotations

from pathlib import Path

from appliance.errors import ModelError
from appliance.models import bundle as bundles
from appliance.models.bundle import Bundle


def entries(models_dir: Path) -> dict[str, Bundle | ModelError]:
    """Every bundle under the folder by name, or what is wrong with it."""
    found: dict[str, Bundle | ModelError] = {}
    folders = sorted(path for path in models_dir.iterdir() if path.is_dir()) if models_dir.is_dir() else []
    for folder in folders:
        if folder.name.startswith("."):
            continue
        try:
            found[folder.name] = bundles.read(folder)
        except ModelError as error:
            found[folder.name] = error
    return found
