"""The path of the control socket."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from appliance.device import systemd

_VARIABLE = "APPLIANCE_CONTROL"
_NAME = "control.sock"
_SYSTEM = Path("/run/appliance") / _NAME


def control_socket(environ: Mapping[str, str], uid: int) -> Path:
    """Where a service of this user creates it: $APPLIANCE_CONTROL, else in systemd's RuntimeDirectory=, in
    $XDG_RUNTIME_DIR, or under /tmp.
    """
    if _VARIABLE in environ:
        return Path(environ[_VARIABLE])
    runtime = systemd.runtime_folder(environ)
    if runtime is not None:
        return runtime / _NAME
    session = environ.get("XDG_RUNTIME_DIR")
    return Path(session) / "appliance" / _NAME if session else Path(f"/tmp/appliance-{uid}") / _NAME


def control_sockets(environ: Mapping[str, str], uid: int) -> list[Path]:
    """Where a client connects, in this order: $APPLIANCE_CONTROL alone, else its user's service, then the system's."""
    if _VARIABLE in environ:
        return [Path(environ[_VARIABLE])]
    return list(dict.fromkeys((control_socket(environ, uid), _SYSTEM, control_socket({}, uid))))
