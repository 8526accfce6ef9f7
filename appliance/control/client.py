"""Speaks with the service that runs on this machine, over its control socket."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from appliance import durations
from appliance.errors import ApplianceError

_TIMEOUT_S = 10.0
_TRIAL_S = 300.0
"""For two networks to be compiled and run on a hundred pictures, beside the work."""


class NoService(ApplianceError):
    """Nobody answers, or not us: not_running, not_permitted, refused, or the service's own code."""

    code = "not_running"


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Control:
    """The first service that answers on one of these sockets. All methods raise NoService."""

    def __init__(self, sockets: Sequence[Path]) -> None:
        self._sockets = sockets

    def governor(self) -> dict[str, Any]:
        """Its state and its ladder."""
        return self._ask("GET", "/governor")

    def hold(self, state: int, for_s: float) -> dict[str, Any]:
        """Stay in this cooling state so long, s."""
        return self._ask("POST", "/governor/hold", {"state": state, "for_s": for_s})

    def release(self) -> dict[str, Any]:
        """Hold no longer."""
        return self._ask("POST", "/governor/release")

    def model(self) -> dict[str, Any]:
        """Where its models lie (`models_dir`), and its settings' `model.name` (`configured`)."""
        return self._ask("GET", "/model")

    def activate(self, name: str, pictures: Path | None, force: bool) -> dict[str, Any]:
        """Take another model into use; what came of trying it. Slow."""
        wanted = {"name": name, "pictures": str(pictures.absolute()) if pictures else None, "force": force}
        return self._ask("POST", "/model/activate", wanted, _TRIAL_S)

    def _ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, timeout_s: float = _TIMEOUT_S
    ) -> dict[str, Any]:
        forbidden: Path | None = None
        for one in self._sockets:
            try:
                return _exchange(one, method, path, body, timeout_s)
            except PermissionError:
                forbidden = one
            except (FileNotFoundError, ConnectionRefusedError):
                continue
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise NoService(f"the service does not answer on {one}: {error}") from None
        if forbidden is not None:
            raise NoService(f"{forbidden} belongs to another user; use sudo", "not_permitted")
        raise NoService(
            "no service runs here that you may speak with. Start it with `sudo systemctl start appliance` or "
            "`appliance serve`; if it runs as another user, use sudo"
        )


def _exchange(path: Path, method: str, url: str, body: dict[str, Any] | None, timeout_s: float) -> dict[str, Any]:
    connection = _UnixConnection(path, timeout_s)
    try:
        connection.request(method, url, None if body is None else json.dumps(body))
        response = connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
    finally:
        connection.close()
    if response.status != 200:
        raise NoService(
            str(answer.get("error", f"the service answered {response.status}")), str(answer.get("code", "refused"))
        )
    return answer


def show(found: dict[str, Any]) -> str:
    """The governor's state and ladder as text."""
    if not found["enabled"]:
        return "The governor is off (governor.enabled = false): heat and memory are only watched."
    state, since = found["cur_state"], durations.in_words(found["time_in_state_s"])
    lines = [f"Cooling state {state} of {found['max_state']} for {since}: {found['why']}."]
    if found["held_for_s"] is not None:
        lines.append(
            f"Held for another {durations.in_words(found['held_for_s'])}; `appliance governor release` ends it."
        )
    if found["memory"] is not None:
        lines.append(f"Memory is short: {found['memory']}.")
    lines += ["", "   state   heat   the box takes"]
    for number, step in enumerate(found["ladder"]):
        lines.append(f" {'*' if number == state else ' '} {number:>5}  {step['heat']:5.0%}   {step['means']}")
    of = "of this box" if found["measured"] else "of another machine: `appliance bench` measures this one"
    return "\n".join([*lines, "", f"Heat: part of full work's, at the most; from the figures {of}."])
