"""Which model is in force: the one that was activated last, remembered beside the bundles.

Rules of this file:
- The last word counts. An activation holds for as long as the settings still name the model that they named then; who
  changes `model.name` afterwards has spoken last, and the activation is void.
- The file is written whole or not at all, by who asked for the change and when it holds: a service that dies in
  between starts again with the former model, which works.
- A damaged file is no activation: the settings' model runs, and the log says so.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from appliance import files
from appliance.errors import ModelError
from appliance.models.names import is_plain

log = logging.getLogger(__name__)

FILE = "active.json"
NOT_ACTIVATED = "model_not_activated"
_MOST_FORMER = 8
_MOST_BYTES = 100_000


@dataclass(frozen=True, slots=True)
class Active:
    """An activation."""

    name: str
    configured: str
    """`model.name` as the settings had it when this was said."""
    former: tuple[str, ...] = ()
    """The models in force before, newest first: where `rollback` goes."""


def read(models_dir: Path, configured: str) -> Active:
    """What is in force in this folder, where the settings say `configured`."""
    path = models_dir / FILE
    try:
        active = msgspec.json.decode(files.read_plain(path, _MOST_BYTES), type=Active)
        if not is_plain(active.name):
            raise ValueError(f"{active.name[:60]!r} cannot be a model's name")
    except FileNotFoundError:
        return Active(configured, configured)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        log.error("%s is damaged (%s): %s runs, as configured", path, error, configured, extra={"kind": "active_model"})
        return Active(configured, configured)
    return active if active.configured == configured else Active(configured, configured)


def check_writable(models_dir: Path) -> None:
    """Raises ModelError model_not_activated when no choice can be written in this folder."""
    if not os.access(models_dir, os.W_OK):
        raise ModelError(f"{models_dir} cannot be written: use sudo, or make it writable", NOT_ACTIVATED)


def activate(models_dir: Path, name: str, configured: str) -> Active:
    """Remember that `name` is in force. Raises ModelError model_not_activated when it cannot be written."""
    now = read(models_dir, configured)
    if name == now.name:
        return now
    former = (now.name, *(one for one in now.former if one not in (name, now.name)))
    return _write(models_dir, Active(name, configured, former[:_MOST_FORMER]))


def previous(models_dir: Path, configured: str) -> str:
    """The model that was in force before this one. Raises ModelError model_not_activated when none is known."""
    now = read(models_dir, configured)
    if not now.former:
        raise ModelError(f"no model was in force before {now.name}: there is nothing to go back to", NOT_ACTIVATED)
    return now.former[0]


def step_back(models_dir: Path, configured: str) -> Active:
    """Remember that the previous model is in force again, and forget the present one. Raises as `previous` does."""
    name = previous(models_dir, configured)
    return _write(models_dir, Active(name, configured, read(models_dir, configured).former[1:]))


def _write(models_dir: Path, active: Active) -> Active:
    path = models_dir / FILE
    try:
        # Root writes it, the service reads it.
        files.write(path, json.dumps(asdict(active), indent=1).encode() + b"\n", 0o644)
    except OSError as error:
        raise ModelError(
            f"{path} cannot be written ({error.strerror}), so the choice does not survive a restart", NOT_ACTIVATED
        ) from None
    return active
