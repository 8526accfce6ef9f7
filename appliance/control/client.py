"""Client of the control socket: talks to the service that runs on this device."""

from __future__ import annotations

import http.client
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from appliance.control.callers import peer_of
from appliance.control.protocol import (
    ActivateRequest,
    AddTokenRequest,
    AuditList,
    CameraList,
    ErasePromise,
    EraseRequest,
    ErrorResponse,
    ForgetCameraRequest,
    GovernorStatus,
    GovernorSwitch,
    HoldRequest,
    MadeToken,
    ModelLocation,
    PairingAnswer,
    PairingLine,
    PairingList,
    SiteStatus,
    TokenLine,
    TokenList,
    TokenName,
    TrialResult,
)
from appliance.errors import ApplianceError

_TIMEOUT_S = 10.0
_TRIAL_S = 300.0
"""Compiling two networks and running them on a hundred pictures while the service serves cameras."""

Response = TypeVar("Response", bound=Struct)


class NoService(ApplianceError):
    """No service answered the request: not_running, not_permitted, refused, or the code that the service sent."""

    code = "not_running"


class Control:
    """The first service that answers on one of these sockets. All methods raise NoService."""

    def __init__(self, sockets: Sequence[Path]) -> None:
        self.sockets = sockets
        self.peer = ""
        """The service that answered last: its process and its socket."""

    def governor(self) -> GovernorStatus | None:
        """Read the governor's status; None: it is disabled."""
        return _status(self._request("GET", "/governor"))

    def report(self, name: str) -> bytes:
        """Read one of the service's reports about itself, such as health.json."""
        return self._request("GET", f"/state/{name}")

    def hold(self, state: int, for_s: float) -> GovernorStatus | None:
        """Stay at this throttle level for `for_s` seconds."""
        return _status(self._request("POST", "/governor/hold", HoldRequest(state, for_s)))

    def release(self) -> GovernorStatus | None:
        """Release a held level."""
        return _status(self._request("POST", "/governor/release"))

    def site(self) -> SiteStatus:
        """How the device takes part in its site."""
        return _decode(self._request("GET", "/site/status"), SiteStatus)

    def drain(self) -> SiteStatus:
        """Move all cameras to other devices and take no new ones."""
        return _decode(self._request("POST", "/site/drain"), SiteStatus)

    def undrain(self) -> SiteStatus:
        """Take cameras again."""
        return _decode(self._request("POST", "/site/undrain"), SiteStatus)

    def model(self) -> ModelLocation:
        """Where the service keeps its models, and which one its settings name."""
        return _decode(self._request("GET", "/model"), ModelLocation)

    def activate(self, name: str, pictures: Path | None, force: bool) -> TrialResult:
        """Activate another model. Takes up to minutes."""
        request = ActivateRequest(name, str(pictures.absolute()) if pictures else None, force)
        return _decode(self._request("POST", "/model/activate", request, _TRIAL_S), TrialResult)

    def cameras(self) -> CameraList:
        """The cameras that the device knows."""
        return _decode(self._request("GET", "/cameras"), CameraList)

    def forget_camera(self, name: str) -> CameraList:
        """Forget a camera that does not send any more."""
        return _decode(self._request("POST", "/cameras/forget", ForgetCameraRequest(name)), CameraList)

    def erase(self, *, factory_reset: bool) -> ErasePromise:
        """Have the data of the installed service erased."""
        return _decode(self._request("POST", "/erase", EraseRequest(factory_reset)), ErasePromise)

    def tokens(self) -> TokenList:
        """All tokens, without their secrets."""
        return _decode(self._request("GET", "/tokens"), TokenList)

    def add_token(self, name: str, role: str) -> MadeToken:
        """Make a token."""
        return _decode(self._request("POST", "/token/add", AddTokenRequest(name, role)), MadeToken)

    def revoke_token(self, name: str) -> TokenLine:
        """Revoke a token, and end its connections."""
        return _decode(self._request("POST", "/token/revoke", TokenName(name)), TokenLine)

    def rotate_token(self, name: str) -> MadeToken:
        """Replace a token's secret, and end the connections of the former one."""
        return _decode(self._request("POST", "/token/rotate", TokenName(name)), MadeToken)

    def pairings(self) -> PairingList:
        """The cameras that wait for approval."""
        return _decode(self._request("GET", "/pairings"), PairingList)

    def approve(self, name: str, code: str = "") -> TokenLine:
        """Let a waiting camera in."""
        return _decode(self._request("POST", "/pairing/approve", PairingAnswer(name, code)), TokenLine)

    def refuse(self, name: str, code: str = "") -> PairingLine:
        """Send a waiting camera away."""
        return _decode(self._request("POST", "/pairing/refuse", PairingAnswer(name, code)), PairingLine)

    def audit(self) -> AuditList:
        """The most recent actions."""
        return _decode(self._request("GET", "/audit"), AuditList)

    def _request(self, method: str, url: str, body: Struct | None = None, timeout_s: float = _TIMEOUT_S) -> bytes:
        forbidden: Path | None = None
        for path in self.sockets:
            try:
                pid, content = _exchange(path, method, url, body, timeout_s)
                self.peer = f"process {pid}, {path}"
                return content
            except PermissionError:
                forbidden = path
            except (FileNotFoundError, ConnectionRefusedError):
                continue
            except (OSError, http.client.HTTPException, msgspec.MsgspecError) as error:
                raise NoService(f"the service does not respond on {path}: {error}") from None
        if forbidden is not None:
            raise NoService(f"{forbidden} belongs to another user; use sudo", "not_permitted")
        raise NoService(
            "No running service you can connect to. Start one with `sudo systemctl start appliance` or "
            "`appliance serve`; if it runs as another user, use sudo"
        )


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path
        self.pid = 0
        """The process that answers."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
        self.pid, uid = peer_of(self.sock)
        if self._path.is_relative_to("/tmp") and uid not in (0, os.getuid()):
            raise ConnectionRefusedError  # anyone may create a socket there


def _exchange(path: Path, method: str, url: str, body: Struct | None, timeout_s: float) -> tuple[int, bytes]:
    """The process that answered, and its response."""
    connection = _UnixConnection(path, timeout_s)
    try:
        connection.request(method, url, None if body is None else msgspec.json.encode(body))
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    if response.status != 200:
        refusal = msgspec.json.decode(content, type=ErrorResponse)
        raise NoService(refusal.error, refusal.code)
    return connection.pid, content


def _status(content: bytes) -> GovernorStatus | None:
    return _decode(content, GovernorStatus) if _decode(content, GovernorSwitch).enabled else None


def _decode(content: bytes, kind: type[Response]) -> Response:
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise NoService(f"the service sent an invalid response: {error}. Restart it after an update") from None
