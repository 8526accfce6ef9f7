"""The active model: the one activated last, recorded next to the bundles.

Rules of this file:
- The last change wins. An activation is valid while `model.name` has the value that it had at the activation; changing
  `model.name` later makes it void.
- The file is written atomically, by the command that requested the change and only after the change succeeded. If the
  service crashes before that, it restarts with the previous model, which works.
- A damaged file counts as no activation: the configured model runs, and an error is logged.
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
from appliance.models.names import is_plain, shown

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
    """`model.name` at the time of the activation."""
    former: tuple[str, ...] = ()
    """The models that were active before, newest first; `rollback` takes the first."""


def read(models_dir: Path, configured: str) -> Active:
    """The active model of this folder; `configured`: `model.name` in the settings."""
    path = models_dir / FILE
    try:
        active = msgspec.json.decode(files.read_plain(path, _MOST_BYTES), type=Active)
        if not is_plain(active.name):
            raise ValueError(f"invalid model name {active.name[:60]!r}")
    except FileNotFoundError:
        return Active(configured, configured)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        log.error(
            "%s is damaged (%s); using the configured model %s", path, error, configured, extra={"kind": "active_model"}
        )
        return Active(configured, configured)
    return active if active.configured == configured else Active(configured, configured)


def check_writable(models_dir: Path) -> None:
    """Check that an activation can be saved in this folder. Raises ModelError model_not_activated."""
    if not os.access(models_dir, os.W_OK):
        raise ModelError(f"cannot write to {models_dir}. Use sudo, or make the folder writable", NOT_ACTIVATED)


def activate(models_dir: Path, name: str, configured: str) -> Active:
    """Save `name` as the active model. Raises ModelError model_not_activated if that is not possible."""
    if not is_plain(name):  # `read` would reject the file
        raise ModelError(f"{models_dir / shown(name)} has an invalid name. Rename the folder", NOT_ACTIVATED)
    now = read(models_dir, configured)
    if name == now.name:
        return now
    former = (now.name, *(one for one in now.former if one not in (name, now.name)))
    return _write(models_dir, Active(name, configured, former[:_MOST_FORMER]))


def previous(models_dir: Path, configured: str) -> str:
    """The model that was active before this one. Raises ModelError model_not_activated if none is known."""
    now = read(models_dir, configured)
    if not now.former:
        raise ModelError(f"cannot roll back: no model was active before {now.name}", NOT_ACTIVATED)
    return now.former[0]


def step_back(models_dir: Path, configured: str) -> Active:
    """Make the previous model active again and forget the present one. Raises what `previous` raises."""
    name = previous(models_dir, configured)
    return _write(models_dir, Active(name, configured, read(models_dir, configured).former[1:]))


def _write(models_dir: Path, active: Active) -> Active:
    path = models_dir / FILE
    try:
        # Root writes it, the service reads it.
        files.write(path, json.dumps(asdict(active), indent=1).encode() + b"\n", 0o644)
    except OSError as error:
        raise ModelError(
            f"cannot write {path} ({error.strerror}): the activation would not survive a restart", NOT_ACTIVATED
        ) from None
    return active
