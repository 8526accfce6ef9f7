"""The token that a camera without one makes for itself, and asks the device's operator to approve."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path

from appliance import files
from appliance.identity.pairing import SHORTEST_TOKEN

log = logging.getLogger(__name__)

_FILE = "camera-token"


def own_token(folder: Path | None) -> str:
    """The token kept in this folder; made with the first call. If it cannot be kept, it lasts until the agent ends."""
    if folder is None:
        return secrets.token_urlsafe(32)
    path = folder / _FILE
    try:
        kept = path.read_text(encoding="utf-8").strip()
        if len(kept) >= SHORTEST_TOKEN:
            return kept
    except (OSError, UnicodeDecodeError):
        pass
    token = secrets.token_urlsafe(32)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.write(path, token.encode() + b"\n", 0o600)
    except OSError as error:
        log.warning(
            "cannot keep this camera's token in %s: %s. After a restart the device has to approve the camera again",
            path, error.strerror,
        )  # fmt: skip
    return token
