"""Where the running service can be spoken to on this machine: its control socket."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_NAMED = "APPLIANCE_CONTROL"
_NAME = "control.sock"
_SYSTEM = Path("/run/appliance") / _NAME


def control_socket(environ: Mapping[str, str], uid: int) -> Path:
    """Where a service of this user opens it: $APPLIANCE_CONTROL, else in systemd's RuntimeDirectory=, in the session's
    own folder, or under /tmp.
    """
    if _NAMED in environ:
        return Path(environ[_NAMED])
    runtime = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if runtime:
        return Path(runtime) / _NAME
    session = environ.get("XDG_RUNTIME_DIR")
    return Path(session) / "appliance" / _NAME if session else Path(f"/tmp/appliance-{uid}") / _NAME


def control_sockets(environ: Mapping[str, str], uid: int) -> list[Path]:
    """Where a client looks for one: at the named one only, else its own service, then the one the machine started."""
    if _NAMED in environ:
        return [Path(environ[_NAMED])]
    return list(dict.fromkeys((control_socket(environ, uid), _SYSTEM, control_socket({}, uid))))
